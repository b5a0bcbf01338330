#include "bench/ladder_point.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "bench/ladder_tiers.h"

namespace cairn {
namespace {

TEST(MedianOf, IntervalsFollowTheBinomialDistribution) {
  // Of five values the least and the greatest: 1 - 2/32.
  EXPECT_DOUBLE_EQ(IntervalProbability(5), 1 - 2.0 / 32);
  const Estimate five = MedianOf({5, 1, 4, 2, 3});
  EXPECT_EQ(five.median, 3);
  ASSERT_TRUE(five.interval.has_value());
  EXPECT_EQ(*five.interval, std::pair(1.0, 5.0));
  // Of nine the second and the eighth: 1 - 2 (1 + 9)/512.
  EXPECT_DOUBLE_EQ(IntervalProbability(9), 1 - 20.0 / 512);
  const Estimate nine = MedianOf({9, 1, 8, 2, 7, 3, 6, 4, 5});
  EXPECT_EQ(*nine.interval, std::pair(2.0, 8.0));
  for (const int few : {0, 1, 2, 3, 4}) {
    EXPECT_EQ(IntervalProbability(few), 0);
    EXPECT_FALSE(MedianOf(std::vector<double>(static_cast<size_t>(few), 1.0)).interval) << few;
  }
}

LadderTurn TurnOf(uint64_t count, uint64_t step_ps) {
  LadderTurn turn;
  for (uint64_t i = 1; i <= count; ++i) turn.latency_ps.Record(i * step_ps);
  turn.operations = count;
  turn.seconds = 2;
  turn.cpu_seconds = 1;
  return turn;
}

TEST(LadderPoint, PercentilesNeedEnoughOperations) {
  LadderPoint point;
  for (int i = 0; i < 5; ++i) point.turns.push_back(TurnOf(40, 1'000'000));
  const auto p50 = point.Latency(0.5);
  ASSERT_TRUE(p50.has_value());
  EXPECT_NEAR(p50->median, 20'000, 20'000 * 0.004);
  EXPECT_TRUE(p50->interval.has_value());
  const auto p99 = point.Latency(0.99);  // 40 in a turn are too few, 200 are enough
  ASSERT_TRUE(p99.has_value());
  EXPECT_FALSE(p99->interval.has_value());
  EXPECT_FALSE(point.Latency(0.999).has_value());
  EXPECT_EQ(point.MaxNs(), 40'000);
  EXPECT_FALSE(point.Service(0.5).has_value());
}

TEST(LadderPoint, MeansHaveNoTails) {
  LadderPoint point;
  for (int i = 0; i < 5; ++i) point.turns.push_back(TurnOf(4000, 1'000'000));
  EXPECT_TRUE(point.Latency(0.999).has_value());
  EXPECT_TRUE(point.MaxNs().has_value());
  point.together = 2;
  EXPECT_TRUE(point.Latency(0.5).has_value());
  for (const double q : {0.9, 0.99, 0.999}) EXPECT_FALSE(point.Latency(q).has_value()) << q;
  EXPECT_FALSE(point.MaxNs().has_value());
}

TEST(LadderPoint, RatesComeFromTheTurns) {
  LadderPoint point;
  for (const uint64_t count : {100, 200, 300, 400, 500}) {
    point.turns.push_back(TurnOf(count, 1));
    point.turns.back().payload_bytes = 1000 * count;
  }
  EXPECT_EQ(point.payload_bytes(), 1'500'000u);
  EXPECT_EQ(point.OperationsPerSecond().median, 150);
  const auto bytes = point.BytesPerSecond();
  ASSERT_TRUE(bytes.has_value());
  EXPECT_EQ(bytes->median, 150'000);
  EXPECT_EQ(*bytes->interval, std::pair(50'000.0, 250'000.0));
  EXPECT_NEAR(point.CpuNs().median, 1e9 / 300, 1);
  EXPECT_FALSE(point.process_read_bytes().has_value());
  for (LadderTurn& turn : point.turns) turn.process_read_bytes = 7;
  EXPECT_EQ(point.process_read_bytes(), 35u);
  for (LadderTurn& turn : point.turns) turn.payload_bytes = 0;
  EXPECT_FALSE(point.BytesPerSecond().has_value());
}

TEST(LadderPoint, SharesAreOfTheBlocksOfAllTurns) {
  LadderPoint point;
  EXPECT_TRUE(point.ServedPercent().empty());
  point.turns.resize(2);
  EXPECT_TRUE(point.ServedPercent().empty());
  point.turns[0].served_blocks = {10, 0, 0};
  point.turns[1].served_blocks = {0, 10, 20};
  EXPECT_EQ(point.ServedPercent(), (std::vector<double>{25, 25, 50}));
}

TEST(ZipfDraws, FollowTheLawAndRepeat) {
  const auto draws = ZipfDraws(100, 0.99, 200'000, 3);
  EXPECT_EQ(draws, ZipfDraws(100, 0.99, 200'000, 3));
  std::vector<double> counts(100);
  for (const uint32_t rank : draws) ++counts.at(rank);
  EXPECT_NEAR(counts[0] / counts[9], std::pow(10, 0.99), 0.7);
  EXPECT_GT(counts[99], 0);
}

}  // namespace
}  // namespace cairn
