// Lists of blocks that a device's attention is timed with.
#include "bench/token_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "tests/support/random.h"

namespace cairn {
namespace {

TEST(TokenAttention, ListsComeInPartsThatDiffer) {
  EXPECT_EQ(PartsOfList(42), (std::vector<int32_t>{11, 14, 21, 42}));
  EXPECT_EQ(PartsOfList(32), (std::vector<int32_t>{8, 11, 16, 32}));
  EXPECT_EQ(PartsOfList(5), (std::vector<int32_t>{2, 3, 5}));
  EXPECT_EQ(PartsOfList(1), (std::vector<int32_t>{1}));
}

TEST(TokenAttention, NoBlockIsTakenTwiceBeforeAllAre) {
  constexpr BlockShape kShape = {8, 16, DType::kF16};
  constexpr AttendLists kLists = {.heads = 3, .blocks = 5, .calls = 4};
  const auto all = static_cast<size_t>(kLists.calls * kLists.call_blocks());
  std::vector<std::byte> pool(all * kShape.payload_bytes());
  for (const size_t slots : {all, all - 1, all / 2, size_t{1}}) {
    StrewnBlocks strewn = {pool.data(), std::vector<int64_t>(slots)};
    std::iota(strewn.order.begin(), strewn.order.end(), int64_t{0});
    std::mt19937_64 random(TestSeed());
    std::shuffle(strewn.order.begin(), strewn.order.end(), random);
    const std::vector<cuda::PlacedBlock> placed = PlaceLists(strewn, kShape, kLists);
    ASSERT_EQ(placed.size(), all);
    std::map<size_t, size_t> times;
    for (size_t i = 0; i < placed.size(); ++i) {
      const auto at = static_cast<size_t>(placed[i].payload - pool.data());
      EXPECT_EQ(at % kShape.payload_bytes(), 0u);
      ++times[at / kShape.payload_bytes()];
      EXPECT_EQ(placed[i].position, static_cast<int32_t>(i % 5) * 8);
    }
    EXPECT_EQ(times.size(), slots);
    for (const auto& [slot, count] : times) {
      EXPECT_LT(slot, slots);
      EXPECT_GE(count, all / slots);
      EXPECT_LE(count, (all + slots - 1) / slots);
    }
  }
}

}  // namespace
}  // namespace cairn
