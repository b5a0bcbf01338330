// QuantProduct against its plain twin, and the twin against numbers that were never codes.
#include "kernels/quant_product.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "base/dtype.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

struct FreeDeleter {
  void operator()(std::byte* memory) const { std::free(memory); }
};

/// A packed matrix of random codes, and the same weights as doubles.
struct Matrix {
  Matrix(const QuantShape& s, TestRandom& random)
      : shape(s), weights(static_cast<size_t>(s.n * s.k)) {
    const size_t bytes = (shape.bytes() + 63) / 64 * 64;
    pack.reset(static_cast<std::byte*>(std::aligned_alloc(64, bytes)));
    std::fill_n(pack.get(), bytes, std::byte{0});
    std::vector<uint8_t> codes(static_cast<size_t>(shape.group));
    for (int64_t row = 0; row < shape.n; ++row) {
      for (int64_t g = 0; g < shape.k / shape.group; ++g) {
        const uint16_t scale = FloatToHalf(random.Normal());
        const uint16_t minimum = FloatToHalf(10.0f * random.Normal());
        for (int32_t i = 0; i < shape.group; ++i) {
          codes[i] = static_cast<uint8_t>(random.Int(0, (1 << shape.code_bits) - 1));
          weights[row * shape.k + g * shape.group + i] =
              static_cast<double>(HalfToFloat(scale)) * codes[i] + HalfToFloat(minimum);
        }
        PackQuantGroup(shape, row, g, {codes.data(), scale, minimum}, pack.get());
      }
    }
  }

  QuantShape shape;
  std::vector<double> weights;  // [n, k]
  std::unique_ptr<std::byte, FreeDeleter> pack;
};

struct Vector {
  explicit Vector(const QuantShape& shape)
      : codes(static_cast<size_t>(shape.k)),
        scales(static_cast<size_t>(shape.pieces())),
        sums(static_cast<size_t>(shape.k / shape.group)) {}
  QuantVector view() { return {codes.data(), scales.data(), sums.data()}; }
  std::vector<int16_t> codes;
  std::vector<float> scales;
  std::vector<float> sums;
};

class QuantProductTest : public testing::TestWithParam<std::pair<int32_t, int32_t>> {
 protected:
  QuantShape Shape(int64_t n, int64_t k) const {
    return {n, k, GetParam().first, GetParam().second};
  }
};

TEST_P(QuantProductTest, RoundsVectorsAsTheTwin) {
  TestRandom random(2);
  const QuantShape shape = Shape(1, 192);
  for (int round = 0; round < 50; ++round) {
    auto x = random.Normals(static_cast<size_t>(shape.k), std::exp(20.0f * random.Normal()));
    for (int32_t i = 0; i < 32; ++i) x[i] = 0;
    for (float& number : x) number = std::clamp(number, -1e30f, 1e30f);
    Vector fast(shape), plain(shape);
    QuantizeVector(shape, x.data(), fast.view());
    QuantizeVectorReference(shape, x.data(), plain.view());
    ASSERT_EQ(fast.codes, plain.codes);
    ASSERT_EQ(fast.scales, plain.scales);
    ASSERT_EQ(fast.sums, plain.sums);
    for (int64_t i = 0; i < shape.k; ++i) {
      // Half a code, and what f32 itself makes of the quotient and the product.
      const float scale = plain.scales[i / kQuantPiece];
      ASSERT_NEAR(scale * static_cast<float>(plain.codes[i]), x[i],
                  0.51f * scale + 1.5f * kSmallestLargest);
    }
  }
}

// The twin, which sums exactly within a group, is as far from the product in doubles as rounding
// the vector to 16 bits allows, half a code for each weight, and f32 for the sums.
TEST_P(QuantProductTest, TwinIsTheProductWithinTheRoundingOfItsVector) {
  TestRandom random(3);
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{1, 32}, {16, 64}, {37, 576}, {64, 1536}}) {
    const Matrix matrix(Shape(n, k), random);
    const auto x = random.Normals(static_cast<size_t>(k));
    Vector rounded(matrix.shape);
    QuantizeVectorReference(matrix.shape, x.data(), rounded.view());
    std::vector<float> y(static_cast<size_t>(n));
    QuantProductReference(matrix.shape, matrix.pack.get(), rounded.view(), 0, matrix.shape.tiles(),
                          y.data());
    for (int64_t row = 0; row < n; ++row) {
      double expected = 0, bound = 0, sizes = 0;
      for (int64_t c = 0; c < k; ++c) {
        const double weight = matrix.weights[row * k + c];
        expected += weight * x[c];
        bound += std::abs(weight) * 0.51 * rounded.scales[c / kQuantPiece];
        // Codes times numbers can be larger than what is left when the minimum is added.
        sizes += 512 * std::abs(x[c]);
      }
      ASSERT_NEAR(y[row], expected, bound + 2e-7 * sizes) << n << " x " << k << " row " << row;
    }
  }
}

TEST_P(QuantProductTest, AgreesWithTheTwin) {
  TestRandom random(4);
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{1, 32}, {15, 64}, {16, 96}, {50, 576}}) {
    const Matrix matrix(Shape(n, k), random);
    const auto x = random.Normals(static_cast<size_t>(k));
    Vector rounded(matrix.shape);
    QuantizeVector(matrix.shape, x.data(), rounded.view());
    const int64_t tiles = matrix.shape.tiles();
    std::vector<float> plain(static_cast<size_t>(n) + 1, 42.0f), fast(plain);
    QuantProductReference(matrix.shape, matrix.pack.get(), rounded.view(), 0, tiles, plain.data());
    // In two parts: each writes its own rows and none behind the last.
    QuantProduct(matrix.shape, matrix.pack.get(), rounded.view(), tiles / 2, tiles, fast.data());
    QuantProduct(matrix.shape, matrix.pack.get(), rounded.view(), 0, tiles / 2, fast.data());
    EXPECT_EQ(fast.back(), 42.0f);
    for (int64_t row = 0; row < n; ++row) {
      double sizes = 0;
      for (int64_t c = 0; c < k; ++c) sizes += 512 * std::abs(x[c]);
      ASSERT_NEAR(fast[row], plain[row], 2e-7 * sizes) << n << " x " << k << " row " << row;
    }
  }
}

// The largest sums that can be: codes all ones, a vector of its largest numbers.
TEST_P(QuantProductTest, SumsDoNotOverflow) {
  const QuantShape shape = Shape(16, 64);
  TestRandom random(5);
  Matrix matrix(shape, random);
  std::fill_n(matrix.pack.get(), shape.bytes(), std::byte{0});
  const std::vector<uint8_t> ones(static_cast<size_t>(shape.group),
                                  static_cast<uint8_t>((1 << shape.code_bits) - 1));
  for (int64_t row = 0; row < shape.n; ++row) {
    for (int64_t g = 0; g < shape.k / shape.group; ++g) {
      PackQuantGroup(shape, row, g, {ones.data(), FloatToHalf(1.0f), 0}, matrix.pack.get());
    }
  }
  for (const float sign : {1.0f, -1.0f}) {
    const std::vector<float> x(static_cast<size_t>(shape.k), sign * 2.0f);
    Vector rounded(shape);
    QuantizeVector(shape, x.data(), rounded.view());
    std::vector<float> y(static_cast<size_t>(shape.n));
    QuantProduct(shape, matrix.pack.get(), rounded.view(), 0, shape.tiles(), y.data());
    const float expected = 2.0f * sign * static_cast<float>(shape.k) * ones[0];
    for (const float number : y) ASSERT_NEAR(number, expected, 1e-6f * std::abs(expected));
  }
}

INSTANTIATE_TEST_SUITE_P(Codes, QuantProductTest,
                         testing::Values(std::pair{4, 16}, std::pair{4, 32}, std::pair{8, 16},
                                         std::pair{8, 32}),
                         [](const auto& info) {
                           return "Bits" + std::to_string(info.param.first) + "Group" +
                                  std::to_string(info.param.second);
                         });

}  // namespace
}  // namespace cairn
