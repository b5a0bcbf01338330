#include "kernels/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/support/random.h"
#include "tests/support/tolerance.h"

namespace cairn {
namespace {

constexpr int32_t kDim = 64;

float Dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return static_cast<float>(sum);
}

class RopeTest : public testing::TestWithParam<RopeStyle> {
 protected:
  RopeTest() : table_(GetParam(), RopeTable::InverseFrequencies(10000.0, kDim)) {
    table_.Reserve(5000);
  }
  std::vector<float> Rotated(int32_t position, const std::vector<float>& x) {
    std::vector<float> y(x.size());
    table_.Rotate(position, x.data(), y.data());
    return y;
  }
  RopeTable table_;
};

TEST_P(RopeTest, ProductsDependOnTheDifferenceAlone) {
  TestRandom random(1);
  const std::vector<float> q = random.Normals(kDim);
  const std::vector<float> k = random.Normals(kDim);
  for (const int32_t difference : {0, 1, 63, 700}) {
    const float expected = Dot(Rotated(difference, q), k);
    for (const int32_t b : {1, 50, 4000}) {
      const float product = Dot(Rotated(b + difference, q), Rotated(b, k));
      EXPECT_NEAR(product, expected, 10 * ToleranceOf(DType::kF32).kernel);
    }
  }
}

TEST_P(RopeTest, RotatesPairsInPlace) {
  TestRandom random(2);
  std::vector<float> x = random.Normals(kDim);
  const std::vector<float> y = Rotated(17, x);
  for (int32_t c = 0; c < kDim / 2; ++c) {
    const size_t first = static_cast<size_t>(GetParam() == RopeStyle::kHalfSplit ? c : 2 * c);
    const size_t second = GetParam() == RopeStyle::kHalfSplit ? first + kDim / 2 : first + 1;
    const double angle = 17 * std::pow(10000.0, -2.0 * c / kDim);
    EXPECT_NEAR(y[first], x[first] * std::cos(angle) - x[second] * std::sin(angle), 1e-6);
    EXPECT_NEAR(y[second], x[second] * std::cos(angle) + x[first] * std::sin(angle), 1e-6);
  }
  table_.Rotate(17, x.data(), x.data());
  EXPECT_EQ(x, y);
}

TEST_P(RopeTest, ReserveKeepsWhatIsThere) {
  EXPECT_EQ(table_.positions(), 5000);
  EXPECT_EQ(table_.head_dim(), kDim);
  const std::vector<float> before(table_.at(4999), table_.at(4999) + kDim);
  table_.Reserve(100);
  EXPECT_EQ(table_.positions(), 5000);
  table_.Reserve(9000);
  EXPECT_EQ(table_.positions(), 9000);
  EXPECT_EQ(std::vector<float>(table_.at(4999), table_.at(4999) + kDim), before);
  for (int32_t c = 0; c < kDim / 2; ++c) EXPECT_EQ(table_.at(0)[c], 1.0f);
}

INSTANTIATE_TEST_SUITE_P(Styles, RopeTest,
                         testing::Values(RopeStyle::kHalfSplit, RopeStyle::kInterleaved),
                         [](const auto& info) {
                           return info.param == RopeStyle::kHalfSplit ? "HalfSplit" : "Interleaved";
                         });

}  // namespace
}  // namespace cairn
