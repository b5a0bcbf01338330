#include "tools/step_times.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

using nlohmann::json;

json Fetch(const char* tier, int batch, double p50, double p99) {
  return {{"tier", tier},
          {"step", "fetch"},
          {"loop", "closed"},
          {"readers", 1},
          {"block_bytes", 16384},
          {"batch", batch},
          {"p50_ns", {{"median", p50}}},
          {"p90_ns", nullptr},
          {"p99_ns", {{"median", p99}}},
          {"p999_ns", nullptr}};
}

StepEstimate Estimate() {
  const json ladder{
      {"points",
       {Fetch("host memory", 1, 100, 200), Fetch("host memory", 100, 10'000, 20'000),
        Fetch("SSD direct", 1, 1'000, 4'000), Fetch("SSD direct", 100, 100'000, 400'000)}}};
  auto made = StepEstimate::FromLadder(ladder, 20'000);
  EXPECT_TRUE(made.has_value());
  return std::move(made).value();
}

TEST(StepEstimate, LiesBetweenWhatWasMeasured) {
  const StepEstimate estimate = Estimate();
  EXPECT_EQ(estimate.block_bytes(), 16384u);
  EXPECT_NEAR(estimate.FetchNs(1, 0, 0), 100, 1e-6);
  EXPECT_NEAR(estimate.FetchNs(10, 0, 0.999), 1'000, 1e-6);
  EXPECT_NEAR(estimate.FetchNs(0, 10, 0.2), 10'000, 1e-3);
  EXPECT_NEAR(estimate.FetchNs(0, 10, 0.99), 40'000, 1e-3);
  EXPECT_NEAR(estimate.FetchNs(0, 10, 0.745), 25'000, 1e-3);  // half way from p50 to p99
  EXPECT_NEAR(estimate.FetchNs(1, 10, 0.2), 10'100, 1e-3);
  EXPECT_NEAR(estimate.FetchNs(0, 1000, 0.2), 1'000'000, 1);
  EXPECT_EQ(estimate.FetchNs(0, 0, 0.5), 0);
}

TEST(StepEstimate, NeedsBothTiers) {
  const json ladder{{"points", {Fetch("SSD direct", 1, 1, 1)}}};
  EXPECT_FALSE(StepEstimate::FromLadder(ladder, 16384).has_value());
}

/// Steps of two layers, each of which wants the same four blocks again and again.
AccessLog Log(int steps) {
  AccessLog log;
  for (int step = 0; step < steps; ++step) {
    for (uint16_t layer = 0; layer < 2; ++layer) {
      log.events.push_back({AccessKind::kFetch, log.ids.size(), 4});
      for (uint32_t i = 0; i < 4; ++i) log.ids.push_back({1, i, layer, 0});
    }
  }
  return log;
}

TEST(TimeSteps, MoreMemoryWaitsLess) {
  const StepEstimate estimate = Estimate();
  const AccessLog log = Log(200);
  const CacheReplay replay(log);
  auto little = TimeSteps(replay, "lru", 5, &estimate);
  ASSERT_TRUE(little.has_value());
  EXPECT_EQ(little.value().steps, 200u);
  EXPECT_LT(little.value().hit_ratio, 0.3);  // each layer takes the other's room
  EXPECT_GE(*little.value().p50_ns, 6'000);
  const auto all = TimeSteps(replay, "lru", 8, &estimate);
  EXPECT_NEAR(all.value().hit_ratio, 199.0 / 200, 1e-9);
  EXPECT_NEAR(*all.value().p50_ns, 800, 1e-3);
  EXPECT_EQ(*little.value().p99_ns, *TimeSteps(replay, "lru", 5, &estimate).value().p99_ns);
  const auto slots = SlotsForP99(replay, "lru", estimate, 1'000);
  ASSERT_TRUE(slots.has_value());
  EXPECT_EQ(slots.value(), 8u);
  EXPECT_EQ(SlotsForP99(replay, "lru", estimate, 10).value(), std::nullopt);
  EXPECT_FALSE(TimeSteps(replay, "mru", 8, &estimate).has_value());
  EXPECT_FALSE(TimeSteps(replay, "lru", 8, nullptr).value().p50_ns.has_value());
}

TEST(TimeSteps, AP99IsOfAHundredSteps) {
  const StepEstimate estimate = Estimate();
  for (const int steps : {99, 100}) {
    const AccessLog log = Log(steps);
    const CacheReplay replay(log);
    const auto times = TimeSteps(replay, "lru", 8, &estimate);
    ASSERT_TRUE(times.has_value());
    EXPECT_TRUE(times.value().p50_ns.has_value());
    EXPECT_EQ(times.value().p99_ns.has_value(), steps >= 100) << steps;
  }
}

TEST(HostSlots, AreThoseOfTheTier) {
  const uint32_t slots = HostSlots(1 << 20, 16384);
  EXPECT_LE(HostBytes(slots, 16384), 1u << 20);
  EXPECT_GT(HostBytes(slots + 1, 16384), 1u << 20);
}

}  // namespace
}  // namespace cairn
