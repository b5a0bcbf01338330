#include "engine/position_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "tests/engine/session_problem.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

constexpr int32_t kBlockRows = 8;

SessionShape Shape(AttentionMode mode) {
  return test::MakeShape(mode, 1, 1, 1, {kBlockRows, 4, DType::kF32});
}

/// `count` of the plan's candidates at random, ascending.
std::vector<int64_t> ChooseSome(const StepPlan& plan, int32_t count, TestRandom& random) {
  std::vector<int64_t> all;
  for (int64_t b = plan.far_begin; b < plan.far_end; ++b) all.push_back(b);
  for (int64_t b = plan.near_begin; b < plan.near_end; ++b) all.push_back(b);
  for (size_t i = 0; i < all.size(); ++i) {
    std::swap(all[i], all[random.Int(static_cast<int64_t>(i), std::ssize(all) - 1)]);
  }
  all.resize(static_cast<size_t>(count));
  std::sort(all.begin(), all.end());
  return all;
}

TEST(PositionMapTest, LandmarkMappingOfTheSpecification) {
  SessionOptions options;
  for (int32_t k = 0; k <= 6; ++k) {
    options.retrieve = k;
    for (int64_t rows = 0; rows < 12 * kBlockRows; ++rows) {
      const StepPlan plan = PlanStep(Shape(AttentionMode::kLandmark), options, rows);
      const int64_t n = rows / kBlockRows;
      const auto k_eff = static_cast<int32_t>(std::min<int64_t>(k, n));
      ASSERT_EQ(plan.blocks, n);
      ASSERT_EQ(plan.tail_rows, rows % kBlockRows);
      ASSERT_EQ(plan.choose, k_eff);
      ASSERT_EQ(plan.local_slot, k_eff + 1) << "local rows begin at X0 = (k_eff + 1) B";
      ASSERT_TRUE(plan.fixed.empty());
      // Scoring: the last k_eff blocks at slots 1..k_eff, their true distance; the others at 0.
      ASSERT_EQ(plan.far_begin, 0);
      ASSERT_EQ(plan.far_end, n - k_eff);
      ASSERT_EQ(plan.near_begin, n - k_eff);
      ASSERT_EQ(plan.near_end, n);
      ASSERT_EQ(plan.far_slot, 0);
      for (int64_t r = n - k_eff; r < n; ++r) {
        ASSERT_EQ(plan.NearSlot(r), r - (n - k_eff) + 1);
        ASSERT_EQ(plan.local_slot - plan.NearSlot(r), n - r) << "not its true distance";
      }
      ASSERT_EQ(plan.TakesAll(), n == k_eff);
    }
  }
}

TEST(PositionMapTest, ChosenLandmarkBlocksLeaveExactlyOneSlotEmpty) {
  TestRandom random(21);
  SessionOptions options;
  for (int trial = 0; trial < 500; ++trial) {
    options.retrieve = static_cast<int32_t>(random.Int(0, 6));
    const StepPlan plan =
        PlanStep(Shape(AttentionMode::kLandmark), options, random.Int(0, 14 * kBlockRows));
    const std::vector<int64_t> chosen = ChooseSome(plan, plan.choose, random);
    std::set<int32_t> slots;
    for (int32_t j = 0; j < plan.choose; ++j) {
      const int32_t slot = plan.ChosenSlot(j, chosen[j]);
      EXPECT_EQ(slot, j + (chosen[j] >= plan.blocks - plan.choose ? 1 : 0));
      EXPECT_GE(slot, 0);
      EXPECT_LE(slot, plan.choose);
      slots.insert(slot);
    }
    EXPECT_EQ(std::ssize(slots), plan.choose) << "two blocks in one slot";
  }
}

// With k_eff < k (fewer blocks than k), everything is chosen and stands at its true distance.
TEST(PositionMapTest, FewBlocksStandAtTheirTrueDistance) {
  SessionOptions options;
  options.retrieve = 9;
  const StepPlan plan = PlanStep(Shape(AttentionMode::kLandmark), options, 4 * kBlockRows + 3);
  EXPECT_EQ(plan.choose, 4);
  EXPECT_TRUE(plan.TakesAll());
  for (int32_t j = 0; j < 4; ++j) {
    EXPECT_EQ(plan.local_slot - plan.ChosenSlot(j, j), 4 - j);
  }
}

TEST(PositionMapTest, UnmodifiedModePacksSinksChosenRecentLocal) {
  TestRandom random(22);
  SessionOptions options;
  for (int trial = 0; trial < 2000; ++trial) {
    options.retrieve = static_cast<int32_t>(random.Int(0, 5));
    options.sinks = static_cast<int32_t>(random.Int(0, 3));
    options.recent_tokens = static_cast<int32_t>(random.Int(0, 4 * kBlockRows));
    const int64_t rows = random.Int(0, 16 * kBlockRows);
    const StepPlan plan = PlanStep(Shape(AttentionMode::kUnmodified), options, rows);
    const std::vector<int64_t> chosen = ChooseSome(plan, plan.choose, random);
    std::vector<PlacedBlock> all = plan.fixed;
    for (int32_t j = 0; j < plan.choose; ++j) {
      all.push_back({chosen[j], plan.ChosenSlot(j, chosen[j])});
    }
    std::sort(all.begin(), all.end(),
              [](const PlacedBlock& a, const PlacedBlock& b) { return a.slot < b.slot; });
    // Slots are gapless up to the local rows, blocks ascend, none is there twice.
    ASSERT_EQ(plan.local_slot, std::ssize(all));
    for (size_t i = 0; i < all.size(); ++i) {
      ASSERT_EQ(all[i].slot, static_cast<int32_t>(i));
      ASSERT_TRUE(i == 0 || all[i - 1].block < all[i].block);
    }
    // Every block is a sink, a candidate or recent.
    const int64_t candidates = plan.far_end - plan.far_begin;
    ASSERT_EQ(plan.near_end, plan.near_begin);
    ASSERT_EQ(std::ssize(plan.fixed) + candidates, plan.blocks);
    ASSERT_EQ(plan.choose, std::min<int64_t>(options.retrieve, candidates));
    // Recent blocks and the tail cover the recent tokens, with no block to spare.
    const int64_t covered = rows - plan.far_end * kBlockRows;
    ASSERT_GE(covered, std::min<int64_t>(options.recent_tokens, rows));
    const int64_t without_one = covered - kBlockRows;
    const bool has_recent = plan.far_end < plan.blocks;
    ASSERT_TRUE(!has_recent || without_one < options.recent_tokens);
    // Sinks are the first blocks that are not recent.
    ASSERT_EQ(plan.far_begin, std::min<int64_t>(options.sinks, plan.far_end));
    ASSERT_EQ(plan.far_slot, plan.far_begin);
  }
}

TEST(PositionMapTest, UnmodifiedWithEverythingChosenStandsAtTruePositions) {
  SessionOptions options;
  options.retrieve = 100;
  options.sinks = 2;
  options.recent_tokens = 3 * kBlockRows;
  const StepPlan plan = PlanStep(Shape(AttentionMode::kUnmodified), options, 11 * kBlockRows + 5);
  EXPECT_TRUE(plan.TakesAll());
  EXPECT_EQ(plan.local_slot, 11);
  for (const PlacedBlock& placed : plan.fixed) EXPECT_EQ(placed.slot, placed.block);
  for (int32_t j = 0; j < plan.choose; ++j) {
    EXPECT_EQ(plan.ChosenSlot(j, plan.far_begin + j), plan.far_begin + j);
  }
}

}  // namespace
}  // namespace cairn
