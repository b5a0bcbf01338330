#include "bench/recall_bench.h"

#include <gtest/gtest.h>

#include "tests/bench/recording_maker.h"

namespace cairn {
namespace {

TEST(RecallBench, ABlockOfOneRowIsStoodForByItself) {
  // With one query head for each KV head the best choice is that of the largest scores.
  const Recording recording = MakeRecording(300, 1, false);
  const RecallBenchOptions options{.block_rows = {1}, .budgets = {7, 30}, .sampled_rows = 8};
  const auto rows = RunRecallBench(recording, options).value();
  ASSERT_EQ(rows.size(), 8u);  // four stand-ins
  for (const RecallRow& row : rows) {
    EXPECT_EQ(row.k, row.budget);
    EXPECT_NEAR(row.recall, 1.0, 1e-9) << StandInName(row.stand_in) << row.k;
    EXPECT_NEAR(row.mass, row.best_mass, 1e-6);
    EXPECT_GT(row.mass, 0.1);
    EXPECT_LT(row.mass, 1.0);
    EXPECT_LE(row.chunk_mass, row.mass);
    EXPECT_LT(row.same_as_next, 1.0);
    EXPECT_LT(row.mass_if_kept, 1.0);
  }
}

TEST(RecallBench, NoChoiceCatchesMoreThanTheBest) {
  const Recording recording = MakeRecording(600, 3, true);
  const RecallBenchOptions options{.block_rows = {16}, .budgets = {32, 128}, .sampled_rows = 8};
  const auto rows = RunRecallBench(recording, options).value();
  ASSERT_EQ(rows.size(), 10u);  // five stand-ins: the recording has landmarks, and its own blocks
  for (const RecallRow& row : rows) {
    EXPECT_EQ(row.block_rows, 8);
    EXPECT_LE(row.mass, row.best_mass + 1e-6);
    EXPECT_LE(row.chunk_mass, row.best_mass + 1e-6);
    EXPECT_LE(row.worst_layer, row.mass / row.best_mass + 1e-6);
    EXPECT_GT(row.recall, 0.0);
  }
}

TEST(RecallBench, RefusesTooFewRows) {
  const RecallBenchOptions options{.block_rows = {64}, .budgets = {256}, .sampled_rows = 8};
  const auto rows = RunRecallBench(MakeRecording(200, 1, false), options);
  ASSERT_TRUE(rows.has_error());
  EXPECT_EQ(rows.error().code, Errc::kInvalidArgument);
}

}  // namespace
}  // namespace cairn
