// What transformer.h promises, by numbers that were worked out by hand; the kernels for GPUs are
// held to it (cuda/transformer_test.cc).
#include "kernels/transformer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace cairn {
namespace {

std::byte* Bytes(std::vector<float>& numbers) {
  return reinterpret_cast<std::byte*>(numbers.data());
}

TEST(Transformer, RmsNormDividesByTheRootOfTheMeanSquare) {
  const std::vector<float> x = {3, -4, 0, 0, 1, 1, 1, 1}, weight = {1, 2, 5, 1};
  std::vector<float> y(8);
  RmsNorm(x.data(), weight.data(), 0.0f, 2, 4, DType::kF32, Bytes(y));
  const std::vector<float> expected = {1.2f, -3.2f, 0, 0, 1, 2, 5, 1};
  for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(y[i], expected[i], 1e-6) << i;
  RmsNorm(x.data(), weight.data(), 3.0f, 2, 4, DType::kF32, Bytes(y));
  EXPECT_FLOAT_EQ(y[4], 0.5f);
  uint16_t rounded[8];
  RmsNorm(x.data(), weight.data(), 3.0f, 2, 4, DType::kBF16, reinterpret_cast<std::byte*>(rounded));
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(rounded[i], FloatToBf16(y[i])) << i;
}

TEST(Transformer, HeadsGetTheirBiasBeforeTheirNorm) {
  const HeadCounts heads = {2, 1, 2};  // rows are q0 q1 k v, of two numbers each
  const std::vector<float> bias = {1, 0, 0, 0, 0, 2, 5, 0}, query_norm = {1, 10}, key_norm = {2, 1};
  const std::vector<float> row = {2, 3, 4, 3, 6, 6, 1, 1};
  const auto finished = [&](const HeadWeights& weights) {
    std::vector<float> rows = row;
    rows.insert(rows.end(), 8, 0.0f);
    FinishHeads(weights, heads, 2, rows.data());
    return rows;
  };
  EXPECT_EQ(finished({bias.data(), nullptr, nullptr, 0}),
            (std::vector<float>{3, 3, 4, 3, 6, 8, 6, 1, 1, 0, 0, 0, 0, 2, 5, 0}));
  const std::vector<float> all = finished({bias.data(), query_norm.data(), key_norm.data(), 1.0f});
  const auto root = [](float mean) { return std::sqrt(mean + 1.0f); };
  const std::vector<float> expected = {3 / root(9),
                                       30 / root(9),
                                       4 / root(12.5f),
                                       30 / root(12.5f),
                                       12 / root(50),
                                       8 / root(50),
                                       6,
                                       1,
                                       1 / root(.5f),
                                       0,
                                       0,
                                       0,
                                       0,
                                       2 / root(2),
                                       5,
                                       0};
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(all[i], expected[i], 1e-6) << i;
}

TEST(Transformer, SwiGluTakesARowsGatesBeforeItsUps) {
  const std::vector<float> gate_up = {0, 1, 5, 7, -1, 100, 2, 3};  // two rows of 2 and 2
  std::vector<float> y(4);
  SwiGlu(gate_up.data(), 2, 2, DType::kF32, Bytes(y));
  const std::vector<float> expected = {0.0f, 7 / (1 + std::exp(-1.0f)), -2 / (1 + std::exp(1.0f)),
                                       300};
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(y[i], expected[i], 1e-6) << i;
}

TEST(Transformer, AddRowsAddsUnlessStopped) {
  const std::vector<float> y = {1, 2, 3};
  std::vector<float> x = {10, 20, 30};
  AddRows(x.data(), y.data(), 3, nullptr);
  const int32_t go_on = 0, stopped = 5;
  AddRows(x.data(), y.data(), 2, &go_on);
  AddRows(x.data(), y.data(), 3, &stopped);
  EXPECT_EQ(x, (std::vector<float>{12, 24, 33}));
}

TEST(Transformer, FloatsAreConvertedToNearestEven) {
  const std::vector<float> x = {1.0f, 1.00390625f, 1.01171875f};  // halves between two
  std::vector<uint16_t> y(3);
  ConvertFloats(x.data(), 3, DType::kBF16, reinterpret_cast<std::byte*>(y.data()));
  EXPECT_EQ(y, (std::vector<uint16_t>{0x3f80, 0x3f80, 0x3f82}));
  std::vector<float> copy(3);
  ConvertFloats(x.data(), 3, DType::kF32, Bytes(copy));
  EXPECT_EQ(copy, x);
}

TEST(Transformer, GreedyTakesTheFirstOfTheLargest) {
  const float nan = std::nanf("");
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> logits = {1,  3,         3,   nan, 5,     9, 0,    nan,
                                     -1, -infinity, nan, nan, -0.0f, 0, -0.0f};
  std::vector<int32_t> ids(5);
  Greedy(logits.data(), 5, 3, ids.data());
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 0, 0, 0, 0}));
}

}  // namespace
}  // namespace cairn
