#include "base/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tests/support/random.h"

namespace cairn {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

float ThroughHalf(float x) { return HalfToFloat(FloatToHalf(x)); }
float ThroughBf16(float x) { return Bf16ToFloat(FloatToBf16(x)); }

TEST(DTypeTest, Names) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    const auto parsed = ParseDType(DTypeName(type));
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(parsed.value(), type);
  }
  EXPECT_EQ(DTypeBytes(DType::kF32), 4u);
  EXPECT_EQ(DTypeBytes(DType::kF16), 2u);
  EXPECT_EQ(DTypeBytes(DType::kBF16), 2u);
  const auto refused = ParseDType("F32");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Errc::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("'F32'"), std::string::npos);
}

TEST(DTypeTest, EveryShortNumberComesBack) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto number = static_cast<uint16_t>(bits);
    const float half = HalfToFloat(number), bfloat = Bf16ToFloat(number);
    EXPECT_EQ(std::isnan(half), (bits & 0x7fff) > 0x7c00) << bits;
    EXPECT_EQ(std::isnan(bfloat), (bits & 0x7fff) > 0x7f80) << bits;
    if (std::isnan(half)) {
      EXPECT_TRUE(std::isnan(ThroughHalf(half))) << bits;
    } else {
      EXPECT_EQ(FloatToHalf(half), number);
    }
    if (std::isnan(bfloat)) {
      EXPECT_TRUE(std::isnan(ThroughBf16(bfloat))) << bits;
    } else {
      EXPECT_EQ(FloatToBf16(bfloat), number);
    }
  }
}

TEST(DTypeTest, HalvesRoundToNearestEven) {
  EXPECT_EQ(ThroughHalf(1 + 0x1p-11f), 1.0f);
  EXPECT_EQ(ThroughHalf(1 + 0x1.8p-11f), 1 + 0x1p-10f);
  EXPECT_EQ(ThroughHalf(1 + 3 * 0x1p-11f), 1 + 0x1p-9f);
  EXPECT_EQ(ThroughHalf(65519.0f), 65504.0f);
  EXPECT_EQ(ThroughHalf(65520.0f), kInfinity);
  EXPECT_EQ(ThroughHalf(-1e30f), -kInfinity);
  EXPECT_EQ(ThroughHalf(0x1p-24f), 0x1p-24f);  // the smallest subnormal
  EXPECT_EQ(ThroughHalf(0x1p-25f), 0.0f);
  EXPECT_EQ(ThroughHalf(0x1.8p-25f), 0x1p-24f);
  EXPECT_TRUE(std::signbit(ThroughHalf(-0.0f)));
}

TEST(DTypeTest, BfloatsRoundToNearestEven) {
  EXPECT_EQ(ThroughBf16(1 + 0x1p-8f), 1.0f);
  EXPECT_EQ(ThroughBf16(1 + 0x1.8p-8f), 1 + 0x1p-7f);
  EXPECT_EQ(ThroughBf16(1 + 3 * 0x1p-8f), 1 + 0x1p-6f);
  EXPECT_EQ(ThroughBf16(std::numeric_limits<float>::max()), kInfinity);
  EXPECT_EQ(ThroughBf16(-kInfinity), -kInfinity);
  EXPECT_TRUE(std::signbit(ThroughBf16(-0.0f)));
}

TEST(DTypeTest, NaNStaysNaN) {
  // This NaN has set bits only where bf16 cuts.
  const uint32_t low_bits = 0x7f800001u;
  float low_nan;
  std::memcpy(&low_nan, &low_bits, sizeof low_nan);
  for (const float nan : {kNaN, -kNaN, low_nan}) {
    EXPECT_TRUE(std::isnan(ThroughHalf(nan)));
    EXPECT_TRUE(std::isnan(ThroughBf16(nan)));
  }
}

TEST(DTypeTest, RoundsToTheNearerNeighbour) {
  TestRandom random(1);
  for (int i = 0; i < 20000; ++i) {
    const float x = random.Normal() * std::exp2(static_cast<float>(random.Int(-12, 12)));
    for (const bool half : {true, false}) {
      const uint16_t bits = half ? FloatToHalf(x) : FloatToBf16(x);
      const auto value = [&](int step) {
        const auto neighbour = static_cast<uint16_t>(bits + step);
        return half ? HalfToFloat(neighbour) : Bf16ToFloat(neighbour);
      };
      const float error = std::abs(value(0) - x);
      EXPECT_LE(error, std::abs(value(1) - x)) << x;
      const bool zero = (bits & 0x7fff) == 0;
      EXPECT_LE(error, zero ? error : std::abs(value(-1) - x)) << x;
    }
  }
}

TEST(DTypeTest, ArraysAreConvertedAsSingleNumbersAre) {
  TestRandom random(2);
  for (const size_t count : {0, 1, 7, 8, 15, 16, 17, 33, 1000}) {
    std::vector<float> source = random.Normals(count + 1, 3.0f);
    if (count > 2) source[2] = kNaN;
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const size_t bytes = DTypeBytes(type);
      // From and to unaligned memory, with a byte behind that must not change.
      std::vector<unsigned char> packed(count * bytes + 2, 0xa5);
      ConvertFromFloat(type, source.data() + 1, packed.data() + 1, count);
      EXPECT_EQ(packed.front(), 0xa5);
      EXPECT_EQ(packed.back(), 0xa5);
      std::vector<float> back(count + 1, 42.0f);
      ConvertToFloat(type, packed.data() + 1, back.data(), count);
      EXPECT_EQ(back[count], 42.0f);
      for (size_t i = 0; i < count; ++i) {
        const float x = source[i + 1];
        const float expected = type == DType::kF32   ? x
                               : type == DType::kF16 ? ThroughHalf(x)
                                                     : ThroughBf16(x);
        if (std::isnan(x)) {
          EXPECT_TRUE(std::isnan(back[i]));
        } else {
          EXPECT_EQ(back[i], expected) << DTypeName(type) << " element " << i << " of " << count;
        }
      }
    }
  }
}

}  // namespace
}  // namespace cairn
