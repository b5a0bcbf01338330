#include "tools/ladder_compare.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cairn {
namespace {

using nlohmann::json;

json Estimate(double median, double spread) {
  return {{"median", median}, {"low", median - spread}, {"high", median + spread}};
}

json Ladder(double p50, double bandwidth) {
  json point{{"name", "SSD direct/fetch"},
             {"p50_ns", Estimate(p50, 5)},
             {"p99_ns", nullptr},
             {"bytes_per_second", Estimate(bandwidth, 5)}};
  return {{"points", json::array({point})}, {"machine", {{"cpu", "one"}}}};
}

TEST(CompareLadders, EqualOnesHaveNoChange) {
  const LadderComparison same = CompareLadders(Ladder(100, 100), Ladder(109, 91));
  EXPECT_EQ(same.compared, 2u);  // p99 has no estimate
  EXPECT_TRUE(same.changes.empty());
  EXPECT_EQ(same.Regressions(0), 0u);
  EXPECT_FALSE(same.other_machine);
}

TEST(CompareLadders, TimeAndBandwidthHaveTheirDirections) {
  const LadderComparison slower = CompareLadders(Ladder(100, 100), Ladder(150, 100));
  ASSERT_EQ(slower.changes.size(), 1u);
  EXPECT_EQ(slower.changes[0].metric, "p50_ns");
  EXPECT_TRUE(slower.changes[0].worse);
  EXPECT_NEAR(slower.changes[0].percent, 50, 1e-9);
  EXPECT_EQ(slower.Regressions(49), 1u);
  EXPECT_EQ(slower.Regressions(51), 0u);

  const LadderComparison less = CompareLadders(Ladder(100, 100), Ladder(100, 50));
  ASSERT_EQ(less.changes.size(), 1u);
  EXPECT_TRUE(less.changes[0].worse);
  EXPECT_EQ(less.Regressions(99), 1u);  // half the bytes a second is twice the time

  const LadderComparison better = CompareLadders(Ladder(100, 100), Ladder(50, 200));
  EXPECT_EQ(better.changes.size(), 2u);
  EXPECT_EQ(better.Regressions(0), 0u);
}

TEST(CompareLadders, TheWorstComesFirstAndStrangersAreNamed) {
  json before = Ladder(100, 100), after = Ladder(150, 300);
  before["points"].push_back({{"name", "gone"}});
  after["points"].push_back({{"name", "new"}});
  after["machine"]["cpu"] = "another";
  const LadderComparison both = CompareLadders(before, after);
  ASSERT_EQ(both.changes.size(), 2u);
  EXPECT_TRUE(both.changes[0].worse);
  EXPECT_FALSE(both.changes[1].worse);
  EXPECT_EQ(both.only_before, std::vector<std::string>{"gone"});
  EXPECT_EQ(both.only_after, std::vector<std::string>{"new"});
  EXPECT_TRUE(both.other_machine);
}

TEST(CompareLadders, ABandwidthThatFellIsAsBadAsTheTimeItCosts) {
  json before = Ladder(100, 1000), after = Ladder(195, 100);  // -90 % is ten times as long
  const LadderComparison both = CompareLadders(before, after);
  ASSERT_EQ(both.changes.size(), 2u);
  EXPECT_EQ(both.changes[0].metric, "bytes_per_second");
  EXPECT_NEAR(both.changes[0].percent, -90, 1e-9);
  EXPECT_EQ(both.changes[1].metric, "p50_ns");
  EXPECT_EQ(both.Regressions(100), 1u);
}

TEST(CompareLadders, SettingsThatDifferAreNamed) {
  json before = Ladder(100, 100), after = Ladder(100, 100);
  EXPECT_TRUE(CompareLadders(before, after).other_settings.empty());
  before["settings"] = {{"store_bytes", 16}, {"turn_seconds", 0.15}, {"full", false}};
  after["settings"] = {{"store_bytes", 64}, {"turn_seconds", 0.15}, {"repetitions", 5}};
  const auto settings = CompareLadders(before, after).other_settings;
  ASSERT_EQ(settings.size(), 3u);
  EXPECT_EQ(settings[0].name, "full");
  EXPECT_EQ(settings[0].after, json());
  EXPECT_EQ(settings[1].name, "repetitions");
  EXPECT_EQ(settings[1].before, json());
  EXPECT_EQ(settings[2].name, "store_bytes");
  EXPECT_EQ(settings[2].before, json(16));
  EXPECT_EQ(settings[2].after, json(64));
}

TEST(CompareLadders, OpenLoopsAreComparedAtEqualRatesAndByTheirTimes) {
  json before = Ladder(100, 100), after = Ladder(150, 50);
  before["points"][0]["rate_per_second"] = 100;
  after["points"][0]["rate_per_second"] = 101;
  const LadderComparison near = CompareLadders(before, after);
  EXPECT_EQ(near.compared, 1u) << "bandwidth is the rate";
  ASSERT_EQ(near.changes.size(), 1u);
  EXPECT_EQ(near.changes[0].metric, "p50_ns");
  EXPECT_TRUE(near.other_rate.empty());
  for (const json& other : {json(90), json(110), json(), json("fast")}) {
    after["points"][0]["rate_per_second"] = other;
    const LadderComparison apart = CompareLadders(before, after);
    EXPECT_EQ(apart.compared, 0u);
    EXPECT_EQ(apart.other_rate, std::vector<std::string>{"SSD direct/fetch"});
  }
}

TEST(CompareLadders, TailsOfMeansAreComparedWhereEquallyManyWereTimedTogether) {
  json before = Ladder(100, 100), after = Ladder(150, 100);
  before["points"][0]["p99_ns"] = Estimate(200, 5);
  after["points"][0]["p99_ns"] = Estimate(300, 5);
  struct Case {
    json before, after;
    std::vector<std::string> metrics;
  };
  for (const Case& one : {Case{json(), 1, {"p50_ns", "p99_ns"}}, Case{7, 7, {"p50_ns", "p99_ns"}},
                          Case{7, 9, {"p50_ns"}}, Case{1, 2, {}}, Case{2, json(), {}}}) {
    before["points"][0]["timed_together"] = one.before;
    after["points"][0]["timed_together"] = one.after;
    const LadderComparison comparison = CompareLadders(before, after);
    std::vector<std::string> metrics;
    for (const LadderChange& change : comparison.changes) metrics.push_back(change.metric);
    std::ranges::sort(metrics);
    EXPECT_EQ(metrics, one.metrics) << one.before << one.after;
    EXPECT_EQ(comparison.compared, one.metrics.size() + 1) << "bandwidth is not of a clock";
    EXPECT_EQ(comparison.other_together.size(), one.metrics.empty() ? 1u : 0u);
  }
}

TEST(CompareLadders, TheMachinesOwnSpeedIsSaid) {
  json before = Ladder(100, 100), after = Ladder(100, 100);
  EXPECT_FALSE(CompareLadders(before, after).speed_ratio) << "nobody has measured it";
  before["noise"]["calibration_ns"] = Estimate(200, 1);
  after["noise"]["calibration_ns"] = Estimate(300, 1);
  before["noise"]["memory_ns"] = Estimate(400, 1);
  EXPECT_EQ(CompareLadders(before, after).speed_ratio, 1.5);
  EXPECT_FALSE(CompareLadders(before, after).memory_ratio) << "an older ladder has none";
  after["noise"]["memory_ns"] = Estimate(500, 1);
  EXPECT_EQ(CompareLadders(before, after).memory_ratio, 1.25);
}

TEST(CompareLadders, EstimatesWithoutIntervalsAreNotCompared) {
  json before = Ladder(100, 100), after = Ladder(900, 100);
  after["points"][0]["p50_ns"]["low"] = nullptr;
  EXPECT_EQ(CompareLadders(before, after).compared, 1u);
  EXPECT_TRUE(CompareLadders(before, after).changes.empty());
}

}  // namespace
}  // namespace cairn
