// LiveBlocks: which blocks are covered, one by one and in numbers.
#include "storage/live_blocks.h"

#include "store_fixture.h"

namespace cairn {
namespace {

SessionRecord Covering(std::vector<ExtentRange> ranges) {
  SessionRecord record;
  record.ranges = std::move(ranges);
  return record;
}

TEST(LiveBlocksTest, NumbersAreThoseOfCountingOneByOne) {
  LiveBlocks live;
  const BlockGrid grid{.layers = 3, .heads = 2, .payload_bytes = 8};
  live.Add(Covering({{2, 0, 3}, {5, 0, 1}}), grid);
  live.Add(Covering({{2, 0, 2}, {7, 1, 2}}), grid);
  std::vector<BlockId> ids;  // of a grid that is larger in every direction
  for (uint64_t extent = 1; extent <= 8; ++extent) {
    for (uint32_t ordinal = 0; ordinal < 4; ++ordinal) {
      for (uint16_t layer = 0; layer < 4; ++layer) {
        for (uint16_t head = 0; head < 3; ++head) ids.push_back({extent, ordinal, layer, head});
      }
    }
  }
  EXPECT_TRUE(live.Covers({2, 2, 2, 1}));
  EXPECT_FALSE(live.Covers({2, 3, 0, 0}));
  EXPECT_FALSE(live.Covers({2, 0, 3, 0}));
  EXPECT_FALSE(live.Covers({2, 0, 0, 2}));
  EXPECT_FALSE(live.Covers({3, 0, 0, 0}));
  EXPECT_TRUE(live.Covers({7, 0, 0, 0})) << "only what lies behind all ranges is nobody's";
  std::vector<uint64_t> before = {0};
  for (const BlockId& id : ids) before.push_back(before.back() + (live.Covers(id) ? 1 : 0));
  std::mt19937_64 random = SeededRandom();
  for (int i = 0; i < 3000; ++i) {
    size_t first = random() % ids.size(), last = random() % ids.size();
    if (last < first) std::swap(first, last);
    ASSERT_EQ(live.Count(ids[first], ids[last]), before[last + 1] - before[first])
        << ToString(ids[first]) << " to " << ToString(ids[last]);
  }
}

}  // namespace
}  // namespace cairn
