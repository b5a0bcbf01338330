#include "kernels/block_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/append.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

constexpr BlockShape kShape{.block_rows = 21, .head_dim = 12, .dtype = DType::kQ8};

using Row = std::vector<float>;

class SealBlockTest : public testing::Test {
 protected:
  SealBlockTest()
      : rope_(RopeStyle::kHalfSplit, RopeTable::InverseFrequencies(10000.0, kShape.head_dim)),
        open_(kShape.open().payload_bytes()),
        payload_(kShape.payload_bytes(), std::byte{0xff}) {
    rope_.Reserve(kShape.block_rows);
    TestRandom random(1);
    keys_ = random.Normals(static_cast<size_t>(kShape.block_rows) * kShape.head_dim);
    values_ = random.Normals(keys_.size());
    // Channels of very different size, and one of zeros.
    for (size_t i = 0; i < values_.size(); ++i) {
      const size_t channel = i % kShape.head_dim;
      values_[i] *= channel == 5 ? 0.0f : std::pow(4.0f, static_cast<float>(channel) - 6);
    }
  }
  void Seal() {
    AppendRows(kShape.open(), rope_, 0, kShape.block_rows, keys_.data(), values_.data(),
               kShape.head_dim, open_.data());
    SealBlock(kShape, open_.data(), payload_.data());
  }
  Row Key(bool sealed, int32_t row) const { return Read(ReadKey, sealed, row); }
  Row Value(bool sealed, int32_t row) const { return Read(ReadValue, sealed, row); }
  template <class Function>
  Row Read(Function read, bool sealed, int32_t row) const {
    Row numbers(kShape.head_dim);
    read(sealed ? kShape : kShape.open(), sealed ? payload_.data() : open_.data(), row,
         numbers.data());
    return numbers;
  }

  RopeTable rope_;
  Row keys_, values_;
  std::vector<std::byte> open_, payload_;
};

TEST_F(SealBlockTest, ABlockTakesAByteANumberAndItsScales) {
  EXPECT_EQ(kShape.payload_bytes(), 2u * 21 * 12 + 2 * 12 * 4);
  EXPECT_EQ(kShape.open().payload_bytes(), 2u * 21 * 12 * 2);
}

TEST_F(SealBlockTest, NumbersAreAtMostHalfAStepOff) {
  Seal();
  for (const bool key : {true, false}) {
    const auto row_of = [&](bool sealed, int32_t t) {
      return key ? Key(sealed, t) : Value(sealed, t);
    };
    for (int32_t c = 0; c < kShape.head_dim; ++c) {
      float largest = 0;
      for (int32_t t = 0; t < kShape.block_rows; ++t) {
        largest = std::max(largest, std::fabs(row_of(false, t)[c]));
      }
      float worst = 0;
      for (int32_t t = 0; t < kShape.block_rows; ++t) {
        const float whole = row_of(false, t)[c], found = row_of(true, t)[c];
        worst = std::max(worst, std::fabs(found - whole));
        if (std::fabs(whole) == largest) {
          EXPECT_NEAR(found, whole, largest * 1e-6f);
        }
      }
      EXPECT_LE(worst, largest / 127 * 0.5001f);
      if (key || c != 5) {
        EXPECT_GT(worst, 0) << "nothing was rounded";
      }
    }
  }
}

TEST_F(SealBlockTest, TheLandmarkAndMeansAreThoseOfTheSealedKeys) {
  Seal();
  Row key(kShape.head_dim), means(3 * kShape.head_dim);
  LandmarkKey(kShape, payload_.data(), key.data());
  EXPECT_EQ(key, Key(true, kShape.block_rows - 1));
  SubBlockMeans(kShape, payload_.data(), 3, means.data());
  for (int32_t c = 0; c < kShape.head_dim; ++c) {
    double sum = 0;
    for (int32_t t = 7; t < 14; ++t) sum += Key(true, t)[c];
    EXPECT_NEAR(means[kShape.head_dim + c], sum / 7, 1e-6);
  }
}

TEST_F(SealBlockTest, OtherNumbersOtherBytesAndTheSameTheSame) {
  Seal();
  const std::vector<std::byte> first = payload_;
  std::ranges::fill(payload_, std::byte{0x55});
  Seal();
  EXPECT_EQ(payload_, first);
  values_[kShape.head_dim] += 1;
  Seal();
  EXPECT_NE(payload_, first);
}

}  // namespace
}  // namespace cairn
