#include "bench/fine_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/random.h"

namespace cairn {
namespace {

constexpr double kError = FineHistogram::kErrorPercent / 100;

TEST(FineHistogram, IsEmptyAtFirst) {
  const FineHistogram empty;
  EXPECT_EQ(empty.count(), 0u);
  EXPECT_EQ(empty.Percentile(0.5), 0u);
  EXPECT_EQ(empty.mean(), 0);
  EXPECT_TRUE(empty.Curve(10).empty());
}

TEST(FineHistogram, ErrorIsBelowOnePercent) { static_assert(FineHistogram::kErrorPercent < 1); }

/// Each value alone, at and beside every border of a bucket there can be.
TEST(FineHistogram, EveryValueIsWithinTheError) {
  std::vector<uint64_t> values;
  for (uint64_t i = 0; i < 3000; ++i) values.push_back(i);
  for (int bit = 11; bit < 50; ++bit) {
    for (uint64_t step = 128; step < 256; ++step) {
      const uint64_t border = step << (bit - 7);
      values.insert(values.end(), {border - 1, border, border + 1, border + (border >> 9)});
    }
  }
  for (const uint64_t value : values) {
    if (value >= uint64_t{1} << 50) continue;
    FineHistogram histogram;
    histogram.Record(value);
    histogram.Record(UINT64_MAX);  // else the greatest value is exact
    const auto found = static_cast<double>(histogram.Percentile(0.5));
    const auto truth = static_cast<double>(value);
    ASSERT_NEAR(found, truth, truth * kError) << value;
  }
}

TEST(FineHistogram, PercentilesOfManyAreWithinTheError) {
  TestRandom random;
  std::vector<uint64_t> values;
  FineHistogram histogram, half, other_half;
  for (int i = 0; i < 20000; ++i) {
    // Spread over all sizes.
    const auto value = static_cast<uint64_t>(std::exp2(random.Uniform() * 45));
    values.push_back(value);
    histogram.Record(value);
    (i % 2 == 0 ? half : other_half).Record(value);
  }
  half.Merge(other_half);
  std::ranges::sort(values);
  double sum = 0;
  for (const uint64_t value : values) sum += static_cast<double>(value);
  EXPECT_NEAR(histogram.mean(), sum / 20000, sum / 20000 * 1e-9);
  for (const double q : {0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999}) {
    const auto rank = static_cast<size_t>(std::ceil(q * 20000));
    const auto truth = static_cast<double>(values[rank - 1]);
    EXPECT_NEAR(static_cast<double>(histogram.Percentile(q)), truth, truth * kError) << q;
    EXPECT_EQ(half.Percentile(q), histogram.Percentile(q)) << q;
  }
  EXPECT_EQ(histogram.Percentile(1), values.back());
  EXPECT_EQ(half.count(), 20000u);
}

TEST(FineHistogram, CurveRisesToOneAndKeepsTheTail) {
  FineHistogram histogram;
  for (uint64_t i = 1; i <= 10000; ++i) histogram.Record(i * 1000);
  const auto curve = histogram.Curve(20);
  EXPECT_LE(curve.size(), 45u);
  EXPECT_EQ(curve.back(), (std::pair<uint64_t, double>(10'000'000, 1.0)));
  for (size_t i = 1; i < curve.size(); ++i) {
    EXPECT_GT(curve[i].first, curve[i - 1].first);
    EXPECT_GT(curve[i].second, curve[i - 1].second);
  }
  for (const auto& [value, share] : curve) {
    EXPECT_NEAR(static_cast<double>(value) / 1e7, share, 0.01);
  }
  EXPECT_GT(curve[curve.size() - 2].second, 0.98);  // p99 is to be seen
}

}  // namespace
}  // namespace cairn
