#include "base/matmul.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/random.h"

namespace cairn {
namespace {

// Normal numbers as `type` stores them, and as floats again.
struct Numbers {
  Numbers(DType type, size_t count, TestRandom& random)
      : floats(random.Normals(count)), stored(count * DTypeBytes(type)) {
    ConvertFromFloat(type, floats.data(), stored.data(), count);
    ConvertToFloat(type, stored.data(), floats.data(), count);
  }
  std::vector<float> floats;
  std::vector<unsigned char> stored;
};

// Plain loops in double; a sum of f32 products may be off by a few roundings of its largest part.
void ExpectProduct(const std::vector<float>& a, const std::vector<float>& b,
                   const std::vector<float>& c, int64_t m, int64_t n, int64_t k) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0, size = 0;
      for (int64_t x = 0; x < k; ++x) {
        const double product = static_cast<double>(a[i * k + x]) * b[j * k + x];
        sum += product;
        size += std::abs(product);
      }
      ASSERT_NEAR(c[i * n + j], sum, 1e-6 * size + 1e-30)
          << "row " << i << " column " << j << " of " << m << " x " << n << " x " << k;
    }
  }
}

class MatmulTest : public testing::TestWithParam<DType> {};

TEST_P(MatmulTest, OpenMpIsTheCallersAgain) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(3);
  const float numbers[16 * 16] = {};
  float product[16];
  MultiplyTransposed(GetParam(), numbers, numbers, product, 1, 16, 16);
  EXPECT_EQ(omp_get_max_threads(), 3);
  const PackedMatrix packed = PackedMatrix::Pack(GetParam(), numbers, 16, 16);
  EXPECT_EQ(omp_get_max_threads(), 3);
  packed.Multiply(numbers, 1, product);
  EXPECT_EQ(omp_get_max_threads(), 3);
  omp_set_num_threads(before);
}

TEST_P(MatmulTest, MultiplyTransposedEqualsPlainLoops) {
  TestRandom random(3);
  for (const int64_t m : {1, 2, 16, 300}) {
    for (const int64_t n : {1, 5, 64, 130}) {
      for (const int64_t k : {2, 63, 64, 200}) {
        const Numbers a(GetParam(), static_cast<size_t>(m * k), random);
        const Numbers b(GetParam(), static_cast<size_t>(n * k), random);
        std::vector<float> c(static_cast<size_t>(m * n) + 1, 42.0f);
        MultiplyTransposed(GetParam(), a.stored.data(), b.stored.data(), c.data(), m, n, k);
        EXPECT_EQ(c.back(), 42.0f);
        ExpectProduct(a.floats, b.floats, c, m, n, k);
      }
    }
  }
}

TEST_P(MatmulTest, PackedMatrixEqualsPlainLoops) {
  TestRandom random(4);
  for (const int64_t n : {1, 7, 64, 192}) {
    for (const int64_t k : {1, 64, 100}) {
      auto weights = std::make_unique<Numbers>(GetParam(), static_cast<size_t>(n * k), random);
      const std::vector<float> kept = weights->floats;
      const PackedMatrix packed = PackedMatrix::Pack(GetParam(), weights->floats.data(), n, k);
      weights.reset();
      EXPECT_EQ(packed.n(), n);
      EXPECT_EQ(packed.k(), k);
      EXPECT_EQ(packed.type(), GetParam());
      EXPECT_GE(packed.bytes(), static_cast<uint64_t>(n * k) * DTypeBytes(GetParam()));
      for (const int64_t m : {1, 2, 16, 300}) {
        const Numbers x(GetParam(), static_cast<size_t>(m * k), random);
        std::vector<float> y(static_cast<size_t>(m * n) + 1, 42.0f);
        packed.Multiply(x.stored.data(), m, y.data());
        EXPECT_EQ(y.back(), 42.0f);
        ExpectProduct(x.floats, kept, y, m, n, k);
      }
    }
  }
}

TEST_P(MatmulTest, PackRoundsWeightsToTheType) {
  const float exact[] = {1.0f + 0x1p-12f, 2.0f};
  const float rounded = GetParam() == DType::kF32 ? exact[0] : 1.0f;
  const PackedMatrix packed = PackedMatrix::Pack(GetParam(), exact, 1, 2);
  const float x[] = {1.0f, 0.0f};
  unsigned char stored[sizeof x];
  ConvertFromFloat(GetParam(), x, stored, 2);
  float y = 0;
  packed.Multiply(stored, 1, &y);
  EXPECT_EQ(y, rounded);
}

TEST_P(MatmulTest, GivesTheSameBitsEveryTime) {
  TestRandom random(5);
  constexpr int64_t kRows = 33, kColumns = 70, kDepth = 96;
  const Numbers a(GetParam(), kRows * kDepth, random), b(GetParam(), kColumns * kDepth, random);
  PackedMatrix packed = PackedMatrix::Pack(GetParam(), b.floats.data(), kColumns, kDepth);
  std::vector<float> first(kRows * kColumns), again(first), packed_first(first);
  MultiplyTransposed(GetParam(), a.stored.data(), b.stored.data(), first.data(), kRows, kColumns,
                     kDepth);
  packed.Multiply(a.stored.data(), kRows, packed_first.data());
  const PackedMatrix moved = std::move(packed);
  for (int i = 0; i < 3; ++i) {
    MultiplyTransposed(GetParam(), a.stored.data(), b.stored.data(), again.data(), kRows, kColumns,
                       kDepth);
    EXPECT_EQ(first, again);
    moved.Multiply(a.stored.data(), kRows, again.data());
    EXPECT_EQ(packed_first, again);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, MatmulTest, testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& info) { return std::string(DTypeName(info.param)); });

}  // namespace
}  // namespace cairn
