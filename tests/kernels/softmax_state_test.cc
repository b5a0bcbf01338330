#include "kernels/softmax_state.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/random.h"
#include "tests/support/tolerance.h"

namespace cairn {
namespace {

constexpr int32_t kDim = 10;
constexpr int64_t kRows = 7;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Part {
  std::vector<float> o;
  std::vector<float> lse;
};

Part RandomPart(uint64_t stream) {
  TestRandom random(stream);
  return {random.Normals(kRows * kDim), random.Normals(kRows, 20.0f)};
}

Part EmptyPart() {
  return {std::vector<float>(kRows * kDim, 0.0f), std::vector<float>(kRows, -kInfinity)};
}

Part Merge(Part a, const Part& b) {
  MergeParts(kRows, kDim, a.o.data(), kDim, a.lse.data(), b.o.data(), kDim, b.lse.data());
  return a;
}

void ExpectClose(const Part& a, const Part& b) {
  for (size_t i = 0; i < a.o.size(); ++i) {
    EXPECT_NEAR(a.o[i], b.o[i], ToleranceOf(DType::kF32).kernel);
  }
  for (size_t i = 0; i < a.lse.size(); ++i) {
    EXPECT_NEAR(a.lse[i], b.lse[i], ToleranceOf(DType::kF32).kernel);
  }
}

TEST(MergeParts, WeighsByTheExponentialOfLse) {
  const Part a = RandomPart(1);
  const Part b = RandomPart(2);
  const Part merged = Merge(a, b);
  for (size_t row = 0; row < kRows; ++row) {
    const double wa = std::exp(static_cast<double>(a.lse[row]));
    const double wb = std::exp(static_cast<double>(b.lse[row]));
    EXPECT_NEAR(merged.lse[row], std::log(wa + wb), 1e-5);
    for (size_t c = 0; c < kDim; ++c) {
      const size_t i = row * kDim + c;
      EXPECT_NEAR(merged.o[i], (wa * a.o[i] + wb * b.o[i]) / (wa + wb), 1e-5);
    }
  }
}

TEST(MergeParts, IsAssociativeAndCommutative) {
  const Part a = RandomPart(3);
  const Part b = RandomPart(4);
  const Part c = RandomPart(5);
  ExpectClose(Merge(Merge(a, b), c), Merge(a, Merge(b, c)));
  ExpectClose(Merge(a, b), Merge(b, a));
}

TEST(MergeParts, TheEmptyPartChangesNothing) {
  const Part a = RandomPart(6);
  const Part right = Merge(a, EmptyPart());
  const Part left = Merge(EmptyPart(), a);
  EXPECT_EQ(right.o, a.o);
  EXPECT_EQ(right.lse, a.lse);
  EXPECT_EQ(left.o, a.o);
  EXPECT_EQ(left.lse, a.lse);
  const Part both = Merge(EmptyPart(), EmptyPart());
  for (const float x : both.o) EXPECT_EQ(x, 0.0f);
  for (const float x : both.lse) EXPECT_EQ(x, -kInfinity);
}

TEST(MergeParts, RowsMayBeApart) {
  const Part a = RandomPart(7);
  const Part b = RandomPart(8);
  const Part expected = Merge(a, b);
  std::vector<float> o(kRows * 13, 5.0f);
  std::vector<float> o2(kRows * 17, 6.0f);
  std::vector<float> lse = a.lse;
  for (size_t i = 0; i < a.o.size(); ++i) {
    o[i / kDim * 13 + i % kDim] = a.o[i];
    o2[i / kDim * 17 + i % kDim] = b.o[i];
  }
  MergeParts(kRows, kDim, o.data(), 13, lse.data(), o2.data(), 17, b.lse.data());
  for (size_t i = 0; i < kRows * 13; ++i) {
    const size_t c = i % 13;
    EXPECT_EQ(o[i], c < kDim ? expected.o[i / 13 * kDim + c] : 5.0f);
  }
  EXPECT_EQ(lse, expected.lse);
}

}  // namespace
}  // namespace cairn
