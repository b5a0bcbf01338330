#include "engine/steady_blocks.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

#include "tests/support/random.h"

namespace cairn {
namespace {

BlockId Id(int64_t ordinal) { return {.extent = 1, .ordinal = static_cast<uint32_t>(ordinal)}; }

std::vector<BlockId> Steady(const SteadyBlocks& blocks) {
  return {blocks.steady().begin(), blocks.steady().end()};
}

TEST(SteadyBlocks, AreThoseOfTheLastFourSteps) {
  SteadyBlocks blocks;
  EXPECT_TRUE(blocks.steady().empty());
  for (int step = 0; step < 4; ++step) {
    EXPECT_TRUE(blocks.steady().empty());
    blocks.Note(std::vector{Id(9), Id(step), Id(3), Id(9)});
  }
  EXPECT_EQ(Steady(blocks), (std::vector{Id(3), Id(9)}));
  blocks.Note(std::vector{Id(3)});
  EXPECT_EQ(Steady(blocks), std::vector{Id(3)});
  blocks.Note(std::vector{Id(9), Id(3)});
  EXPECT_EQ(Steady(blocks), std::vector{Id(3)});  // 9 begins anew
  blocks.Note({});
  EXPECT_TRUE(blocks.steady().empty());
}

TEST(SteadyBlocks, AgreeWithCounting) {
  TestRandom random;
  SteadyBlocks blocks;
  std::map<BlockId, uint32_t> runs;
  for (int step = 0; step < 2000; ++step) {
    std::vector<BlockId> ids;
    for (int64_t i = random.Int(0, 20); i > 0; --i) ids.push_back(Id(random.Int(0, 12)));
    blocks.Note(ids);
    const std::set<BlockId> chosen(ids.begin(), ids.end());
    std::map<BlockId, uint32_t> next;
    std::vector<BlockId> expected;
    for (const BlockId& id : chosen) {
      next[id] = runs[id] + 1;
      if (next[id] >= SteadyBlocks::kSteps) expected.push_back(id);
    }
    runs = next;
    ASSERT_EQ(Steady(blocks), expected);
  }
}

}  // namespace
}  // namespace cairn
