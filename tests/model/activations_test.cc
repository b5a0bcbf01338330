#include "model/activations.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/random.h"

namespace cairn {
namespace {

// Lengths around every vector width, and a real one.
const std::vector<int64_t> kLengths{1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 576, 1536};

std::vector<float> Numbers(int64_t n, float scale, uint64_t stream) {
  return TestRandom(stream).Normals(static_cast<size_t>(n), scale);
}

TEST(ActivationsTest, RmsNorm) {
  for (const int64_t n : kLengths) {
    const auto x = Numbers(n, 3.0f, 1), weight = Numbers(n, 1.0f, 2);
    for (const float epsilon : {1e-5f, 0.5f}) {
      std::vector<float> y(static_cast<size_t>(n) + 1, 42.0f);
      RmsNorm(x.data(), weight.data(), epsilon, n, y.data());
      double squares = 0;
      for (const float number : x) squares += static_cast<double>(number) * number;
      const double root = std::sqrt(squares / static_cast<double>(n) + epsilon);
      for (int64_t i = 0; i < n; ++i) {
        EXPECT_NEAR(y[i], x[i] / root * weight[i], 2e-6 * (1 + std::abs(y[i]))) << n;
      }
      EXPECT_EQ(y.back(), 42.0f);
    }
  }
}

TEST(ActivationsTest, RmsNormOfZerosIsZero) {
  const std::vector<float> x(33, 0.0f), weight(33, 1.0f);
  std::vector<float> y(33, 42.0f);
  RmsNorm(x.data(), weight.data(), 1e-5f, 33, y.data());
  for (const float number : y) EXPECT_EQ(number, 0.0f);
}

TEST(ActivationsTest, SwiGlu) {
  for (const int64_t n : kLengths) {
    auto gate = Numbers(n, 5.0f, 3);
    const auto up = Numbers(n, 1.0f, 4);
    if (n > 2) gate[0] = 60.0f, gate[1] = -60.0f;
    std::vector<float> y(static_cast<size_t>(n) + 1, 42.0f);
    SwiGlu(gate.data(), up.data(), n, y.data());
    for (int64_t i = 0; i < n; ++i) {
      const double expected = gate[i] / (1 + std::exp(-static_cast<double>(gate[i]))) * up[i];
      EXPECT_NEAR(y[i], expected, 2e-6 * (1 + std::abs(expected))) << gate[i];
    }
    EXPECT_EQ(y.back(), 42.0f);
    // In place of either input.
    std::vector<float> in_gate = gate, in_up = up;
    SwiGlu(in_gate.data(), up.data(), n, in_gate.data());
    SwiGlu(gate.data(), in_up.data(), n, in_up.data());
    for (int64_t i = 0; i < n; ++i) {
      EXPECT_EQ(in_gate[i], y[i]);
      EXPECT_EQ(in_up[i], y[i]);
    }
  }
}

TEST(ActivationsTest, SwiGluOfLargeNegativeGatesIsZeroNotNaN) {
  const std::vector<float> gate(20, -1000.0f), up(20, 2.0f);
  std::vector<float> y(20, 42.0f);
  SwiGlu(gate.data(), up.data(), 20, y.data());
  for (const float number : y) EXPECT_NEAR(number, 0.0f, 1e-30f);
}

TEST(ActivationsTest, AddInPlace) {
  for (const int64_t n : kLengths) {
    auto x = Numbers(n, 1.0f, 5);
    const auto before = x, y = Numbers(n, 1.0f, 6);
    x.push_back(42.0f);
    AddInPlace(x.data(), y.data(), n);
    for (int64_t i = 0; i < n; ++i) EXPECT_EQ(x[i], before[i] + y[i]);
    EXPECT_EQ(x.back(), 42.0f);
  }
}

TEST(ActivationsTest, LogSumExp) {
  for (const int64_t n : kLengths) {
    for (const float offset : {0.0f, 500.0f, -500.0f}) {
      auto x = Numbers(n, 4.0f, 7);
      for (float& number : x) number += offset;
      double sum = 0;
      for (const float number : x) sum += std::exp(static_cast<double>(number) - offset);
      EXPECT_NEAR(LogSumExp(x.data(), n), offset + std::log(sum), 1e-6 * (4 + std::abs(offset)));
    }
  }
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> none(9, -infinity);
  EXPECT_EQ(LogSumExp(none.data(), 9), -infinity);
  EXPECT_EQ(LogSumExp(none.data(), 0), -infinity);
}

}  // namespace
}  // namespace cairn
