#include "kernels/append.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/support/random.h"
#include "tests/support/tolerance.h"

namespace cairn {
namespace {

constexpr int32_t kRows = 10;
constexpr int32_t kDim = 12;

class AppendTest : public testing::TestWithParam<DType> {
 protected:
  AppendTest()
      : shape_{kRows, kDim, GetParam()},
        rope_(RopeStyle::kHalfSplit, RopeTable::InverseFrequencies(10000.0, kDim)),
        payload_(shape_.payload_bytes(), std::byte{0xff}) {
    rope_.Reserve(kRows);
    TestRandom random(1);
    keys_ = random.Normals(kRows * (kDim + 3));
    values_ = random.Normals(kRows * (kDim + 3));
  }
  void Append(int32_t first, int32_t rows) {
    const int64_t stride = kDim + 3;
    AppendRows(shape_, rope_, first, rows, keys_.data() + first * stride,
               values_.data() + first * stride, stride, payload_.data());
  }
  std::vector<float> Read(size_t offset) const {
    std::vector<float> row(kDim);
    ConvertToFloat(GetParam(), payload_.data() + offset, row.data(), kDim);
    return row;
  }
  // Row t of the block, rotated by t, as it was before rounding.
  std::vector<float> Key(int32_t t) const {
    std::vector<float> row(kDim);
    rope_.Rotate(t, keys_.data() + t * (kDim + 3), row.data());
    return row;
  }

  BlockShape shape_;
  RopeTable rope_;
  std::vector<std::byte> payload_;
  std::vector<float> keys_;
  std::vector<float> values_;
};

TEST_P(AppendTest, PiecesGiveTheWhole) {
  Append(0, kRows);
  const std::vector<std::byte> whole = payload_;
  std::fill(payload_.begin(), payload_.end(), std::byte{0xff});
  Append(0, 3);
  Append(3, 1);
  for (size_t i = shape_.key_offset(4); i < shape_.value_offset(0); ++i) {
    ASSERT_EQ(payload_[i], std::byte{0xff}) << "byte " << i << " belongs to a later row";
  }
  Append(4, 0);
  Append(4, 6);
  EXPECT_EQ(payload_, whole);
}

TEST_P(AppendTest, KeysAreRotatedByTheirOffset) {
  Append(0, kRows);
  const float tolerance = ToleranceOf(GetParam()).storage;
  for (int32_t t = 0; t < kRows; ++t) {
    const std::vector<float> key = Read(shape_.key_offset(t));
    const std::vector<float> value = Read(shape_.value_offset(t));
    for (int32_t c = 0; c < kDim; ++c) {
      EXPECT_NEAR(key[c], Key(t)[c], tolerance);
      EXPECT_NEAR(value[c], values_[t * (kDim + 3) + c], tolerance);
    }
  }
}

TEST_P(AppendTest, LandmarkKeyIsTheLastRow) {
  Append(0, kRows);
  std::vector<float> key(kDim);
  LandmarkKey(shape_, payload_.data(), key.data());
  EXPECT_EQ(key, Read(shape_.key_offset(kRows - 1)));
}

TEST_P(AppendTest, SubBlockMeansCoverEveryRowOnce) {
  Append(0, kRows);
  for (const int32_t count : {1, 3, 4, 10}) {
    std::vector<float> means(static_cast<size_t>(count * kDim));
    SubBlockMeans(shape_, payload_.data(), count, means.data());
    const int32_t run = kRows / count;
    for (int32_t i = 0; i < count; ++i) {
      const int32_t end = i + 1 == count ? kRows : (i + 1) * run;
      std::vector<double> mean(kDim, 0.0);
      for (int32_t t = i * run; t < end; ++t) {
        const std::vector<float> key = Read(shape_.key_offset(t));
        for (int32_t c = 0; c < kDim; ++c) mean[c] += key[c] / (end - i * run);
      }
      for (int32_t c = 0; c < kDim; ++c) EXPECT_NEAR(means[i * kDim + c], mean[c], 1e-6);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, AppendTest, testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& info) { return std::string(DTypeName(info.param)); });

}  // namespace
}  // namespace cairn
