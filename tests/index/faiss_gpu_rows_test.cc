#include "index/faiss_gpu_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "tests/support/random.h"

namespace cairn {
namespace {

std::vector<float> Numbers(DType type, const std::vector<std::byte>& bytes) {
  std::vector<float> numbers(bytes.size() / DTypeBytes(type));
  ConvertToFloat(type, bytes.data(), numbers.data(), numbers.size());
  return numbers;
}

TEST(FaissGpuRows, ARowHasTheVectorsOfAllHeads) {
  // Two heads of three vectors of two numbers, at places 1 and 2 of four.
  std::vector<float> vectors(12);
  std::iota(vectors.begin(), vectors.end(), 1.0f);
  for (const DType type : {DType::kF32, DType::kF16}) {
    std::vector<std::byte> rows(3 * 4 * 2 * DTypeBytes(type), std::byte{0xff});
    LayRows(type, 2, 2, 3, vectors.data(), 4, 1, rows.data());
    EXPECT_EQ(Numbers(type, rows), (std::vector<float>{0, 0, 1, 2, 7,  8,  0, 0,  //
                                                       0, 0, 3, 4, 9,  10, 0, 0,  //
                                                       0, 0, 5, 6, 11, 12, 0, 0}));
    rows.resize(3 * 2 * 2 * DTypeBytes(type));
    LayRows(type, 2, 2, 3, vectors.data(), 2, 0, rows.data());
    EXPECT_EQ(Numbers(type, rows), (std::vector<float>{1, 2, 7, 8, 3, 4, 9, 10, 5, 6, 11, 12}));
  }
}

TEST(FaissGpuRows, AQueryIsZeroButForItsHead) {
  const std::vector<float> queries{3, -4, 1, 0, 0, 0.25f, 100, 7};
  std::vector<std::byte> laid(4 * 3 * 2 * 4, std::byte{0xff});
  LayQueries(DType::kF32, 2, 2, 2, queries.data(), 3, 1, laid.data());
  EXPECT_EQ(Numbers(DType::kF32, laid),
            (std::vector<float>{0, 0, 3, -4, 0, 0,     0, 0, 1, 0, 0,   0,  //
                                0, 0, 0, 0,  0, 0.25f, 0, 0, 0, 0, 100, 7}));
  laid.assign(4 * 3 * 2 * 2, std::byte{0xff});
  LayQueries(DType::kF16, 2, 2, 2, queries.data(), 3, 1, laid.data());
  EXPECT_EQ(Numbers(DType::kF16, laid),
            (std::vector<float>{0, 0, 0.75f, -1, 0, 0, 0, 0, 1, 0, 0,           0,  //
                                0, 0, 0,     0,  0, 1, 0, 0, 0, 0, 100 / 64.0f, 7 / 64.0f}));
}

// So that one search finds each head's vectors.
TEST(FaissGpuRows, ProductsAreThoseOfTheHeadAlone) {
  constexpr int32_t kHeads = 3, kDim = 20;
  constexpr int64_t kCount = 7, kRows = 4;
  TestRandom random(1);
  const auto vectors = random.Normals(kHeads * kCount * kDim);
  const auto queries = random.Normals(kHeads * kRows * kDim, 1000.0f);
  for (const DType type : {DType::kF32, DType::kF16}) {
    std::vector<std::byte> rows(kCount * kHeads * kDim * DTypeBytes(type));
    std::vector<std::byte> laid(kHeads * kRows * kHeads * kDim * DTypeBytes(type));
    LayRows(type, kDim, kHeads, kCount, vectors.data(), kHeads, 0, rows.data());
    LayQueries(type, kDim, kHeads, kRows, queries.data(), kHeads, 0, laid.data());
    const auto r = Numbers(type, rows), q = Numbers(type, laid);
    for (int64_t query = 0; query < kHeads * kRows; ++query) {
      const float* own = queries.data() + query * kDim;
      const float scale = QueryScale(type, {own, kDim});
      const double norm = std::sqrt(std::inner_product(own, own + kDim, own, 0.0));
      for (int64_t i = 0; i < kCount; ++i) {
        const float* vector = vectors.data() + (query / kRows * kCount + i) * kDim;
        const double expected = std::inner_product(own, own + kDim, vector, 0.0);
        const double found = std::inner_product(q.begin() + query * kHeads * kDim,
                                                q.begin() + (query + 1) * kHeads * kDim,
                                                r.begin() + i * kHeads * kDim, 0.0);
        const double length = std::sqrt(std::inner_product(vector, vector + kDim, vector, 0.0));
        EXPECT_LE(std::fabs(found / scale - expected), ScoreError(type, kDim, norm, length));
      }
    }
  }
}

TEST(FaissGpuRows, ScalesAreWholePowersThatKeepQueriesInRange) {
  EXPECT_EQ(QueryScale(DType::kF32, std::vector<float>{1e30f}), 1.0f);
  EXPECT_EQ(QueryScale(DType::kF16, std::vector<float>{0, 0}), 1.0f);
  for (const float largest : {3e38f, 65536.0f, 1.0f, 0.75f, 1e-20f, 1e-38f, 1e-45f}) {
    const float scale = QueryScale(DType::kF16, std::vector<float>{0, -largest, largest / 3});
    int exponent = 0;
    EXPECT_EQ(std::frexp(scale, &exponent), 0.5f);
    EXPECT_TRUE(std::isnormal(scale)) << largest;
    EXPECT_LT(largest * scale, largest > 1e38f ? 4.0f : 2.0f);
    if (largest > 2e-38f) {
      EXPECT_GE(largest * scale, 1.0f) << largest;
    }
  }
}

TEST(FaissGpuRows, SearchesFindMoreThanIsChosen) {
  EXPECT_EQ(VectorsToFind(32, 15'625, 1), 128);
  EXPECT_EQ(VectorsToFind(100, 15'625, 1), 200);
  EXPECT_EQ(VectorsToFind(100, 15'625, 4), 800);
  EXPECT_EQ(VectorsToFind(32, 50, 4), 200);
  EXPECT_EQ(VectorsToFind(500, 15'625, 4), 1024);
}

TEST(FaissGpuRows, WhatFaissWorksInFits) {
  constexpr int64_t kBytes = 256 << 20;
  EXPECT_GE(QueriesAtOnce(15'625, 128, kBytes), 27);   // a million tokens, a decode step
  EXPECT_GE(QueriesAtOnce(156'250, 128, kBytes), 27);  // ten million
  EXPECT_EQ(QueriesAtOnce(2'000'000'000, 1024, 1 << 20), 1);
  for (const int64_t vectors : {1'000, 300'000, 3'000'000}) {
    const int64_t rows = QueriesAtOnce(vectors, 1024, kBytes);
    const int64_t columns = std::min<int64_t>(vectors, 524'288);
    EXPECT_LE(rows * (2 * columns + 4 * 1024 * ((vectors + 262'143) / 262'144)) * 4, kBytes);
  }
}

}  // namespace
}  // namespace cairn
