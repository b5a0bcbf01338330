#include "base/latency_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace cairn {
namespace {

TEST(LatencyHistogram, IsSmallAndEmptyAtFirst) {
  static_assert(sizeof(LatencyHistogram) <= 4096);
  const LatencyHistogram empty;
  EXPECT_EQ(empty.count(), 0u);
  EXPECT_EQ(empty.Percentile(0.5), 0u);
  EXPECT_EQ(empty.max(), 0u);
}

TEST(LatencyHistogram, PercentilesAreWithinTheirError) {
  std::mt19937_64 random(1);
  std::vector<uint64_t> values;
  LatencyHistogram histogram;
  for (int i = 0; i < 20000; ++i) {
    const uint64_t value = random() >> (27 + random() % 37);  // spread over all sizes
    values.push_back(value);
    histogram.Record(value);
  }
  std::ranges::sort(values);
  for (const double q : {0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999}) {
    const size_t rank = static_cast<size_t>(std::ceil(q * values.size()));
    const double truth = static_cast<double>(values[rank - 1]);
    EXPECT_NEAR(static_cast<double>(histogram.Percentile(q)), truth, truth * 0.032 + 0.5) << q;
  }
  EXPECT_EQ(histogram.Percentile(1), values.back());
  EXPECT_EQ(histogram.max(), values.back());
}

TEST(LatencyHistogram, MergeAddsAndCopiesAreIndependent) {
  LatencyHistogram a, b;
  for (uint64_t i = 1; i <= 100; ++i) a.Record(i);
  for (uint64_t i = 0; i < 300; ++i) b.Record(1'000'000);
  LatencyHistogram both = a;
  both.Merge(b);
  EXPECT_EQ(a.count(), 100u);
  EXPECT_EQ(both.count(), 400u);
  EXPECT_EQ(both.sum(), a.sum() + b.sum());
  EXPECT_NEAR(static_cast<double>(both.Percentile(0.5)), 1e6, 32e3);
  EXPECT_LE(both.Percentile(0.2), 100u);
}

TEST(LatencyHistogram, CountsBelowPowersOfTwoAreExact) {
  LatencyHistogram histogram;
  for (uint64_t value = 0; value < 5000; ++value) histogram.Record(value);
  histogram.Record(UINT64_MAX);
  for (int power = 0; power < 13; ++power) {
    EXPECT_EQ(histogram.CountBelow(power), uint64_t{1} << power) << power;
  }
  EXPECT_EQ(histogram.CountBelow(13), 5000u);
  EXPECT_EQ(histogram.CountBelow(37), 5000u);
  EXPECT_EQ(histogram.CountBelow(38), 5001u);
  EXPECT_EQ(histogram.CountBelow(63), 5001u);
}

TEST(LatencyHistogram, HugeValuesStayInTheLastBucket) {
  LatencyHistogram histogram;
  histogram.Record(UINT64_MAX);
  histogram.Record(5);
  EXPECT_EQ(histogram.Percentile(0.5), 5u);
  EXPECT_EQ(histogram.max(), UINT64_MAX);
}

}  // namespace
}  // namespace cairn
