#include "kernels/cuda/chunk_codes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/cuda/score.h"
#include "tests/kernels/cuda/coded_chunks.h"
#include "tests/support/cuda_on_cpu/thread_block.h"

namespace cairn {
namespace {

struct CodeCase {
  const char* name;
  DType dtype;
  int32_t partitions, vectors, dim;
};
void PrintTo(const CodeCase& from, std::ostream* os) { *os << from.name; }
std::vector<CodeCase> CodeCases() {
  return {{"dim_64", DType::kBF16, 2, 256, 64},  {"dim_128", DType::kBF16, 3, 256, 128},
          {"dim_256", DType::kBF16, 1, 64, 256}, {"three_each", DType::kBF16, 2, 255, 80},
          {"odd_dim", DType::kBF16, 2, 33, 77},  {"small_dim", DType::kF32, 1, 256, 4},
          {"f32", DType::kF32, 2, 130, 64},      {"one_vector", DType::kF32, 2, 1, 20}};
}

class CudaCodeChunk : public testing::TestWithParam<CodeCase> {};

TEST_P(CudaCodeChunk, IsWhatPlainLoopsWrite) {
  const CodeCase& c = GetParam();
  for (const int32_t kept : {0, 1, c.vectors / 3, c.vectors}) {
    Chunks expected(c.dtype, c.partitions, 2, c.vectors, c.dim);
    expected.SetAllRandom(1);
    expected.CodeAll();
    for (int32_t p = 0; p < c.partitions; ++p) {  // of codes made of them, others are left
      for (int32_t v = c.vectors; v < 2 * c.vectors; ++v) {
        for (int32_t d = 0; d < c.dim; ++d) {
          ASSERT_LE(std::fabs(expected.Coded(p, v, d) - expected.Number(p, v, d)),
                    0.5001f * expected.Step(p, v, d) + 1e-6f);
        }
      }
    }
    expected.SetAllRandom(2);
    Chunks found = expected;
    CodeChunk(expected.Coding(1, kept));
    for (uint64_t order = 0; order < 3; ++order) {
      cuda_on_cpu::SetOrderSeed(TestSeed() + order);
      Chunks again = found;
      ASSERT_TRUE(cuda::CodeChunk(again.Coding(1, kept), nullptr).has_value());
      EXPECT_EQ(again.codes, expected.codes);
      EXPECT_EQ(again.scales, expected.scales);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaCodeChunk, testing::ValuesIn(CodeCases()),
                         [](const auto& info) { return std::string(info.param.name); });

// Equal numbers, and the largest of bf16 and the least that there are.
TEST(CudaCodeChunks, OfExtremeNumbers) {
  const float most = Bf16ToFloat(0x7f7f);
  constexpr float kLeast = std::numeric_limits<float>::denorm_min();
  constexpr int32_t kDim = 7;
  Chunks expected(DType::kF32, 1, 1, 40, kDim);
  for (int64_t v = 0; v < 40; ++v) {
    const float sign = v % 2 == 0 ? 1.0f : -1.0f;
    const float numbers[kDim] = {sign * most, 0.7f, 190 * kLeast * static_cast<float>(v % 2),
                                 most,        0.0f, v % 2 == 0 ? 1.0f : 1.00000012f,
                                 kLeast};
    expected.Set(0, v, numbers);
  }
  Chunks found = expected;
  CodeChunk(expected.Coding(0));
  ASSERT_TRUE(cuda::CodeChunk(found.Coding(0), nullptr).has_value());
  EXPECT_EQ(found.codes, expected.codes);
  EXPECT_EQ(found.scales, expected.scales);
  for (int64_t v = 0; v < 40; ++v) {
    ASSERT_NEAR(found.Coded(0, v, 0) / most, v % 2 == 0 ? 1.0 : -1.0, 1e-6);
    EXPECT_EQ(found.Coded(0, v, 1), 0.7f);
    EXPECT_EQ(found.Coded(0, v, 3), most);
    EXPECT_EQ(found.Coded(0, v, 4), 0.0f);
    EXPECT_NEAR(found.Coded(0, v, 5), 1.0f, 2e-7f);
    EXPECT_EQ(found.Coded(0, v, 6), kLeast);
  }
}

struct ScoreCodesCase {
  const char* name;
  DType dtype;
  int32_t partitions, rows, dim, vectors;
  int64_t first, count;
  int64_t behind = 0;  ///< places behind the scores of a row
};
void PrintTo(const ScoreCodesCase& from, std::ostream* os) { *os << from.name; }
std::vector<ScoreCodesCase> ScoreCodesCases() {
  return {{"a_chunk", DType::kBF16, 1, 8, 64, 256, 0, 256},
          {"a_group", DType::kBF16, 2, 3, 128, 256, 0, 768},
          {"one", DType::kBF16, 1, 1, 64, 256, 300, 1},
          {"within", DType::kBF16, 2, 4, 128, 256, 17, 150, 3},
          {"over_chunks", DType::kBF16, 2, 9, 80, 255, 250, 300},
          {"rows", DType::kBF16, 3, 21, 64, 64, 5, 150, 1},
          {"dim_256", DType::kBF16, 2, 5, 256, 256, 100, 600},
          {"dim_130", DType::kF32, 2, 2, 130, 200, 0, 600},
          {"odd_dim", DType::kBF16, 1, 9, 77, 130, 129, 131},
          {"small_dim", DType::kF32, 2, 3, 4, 17, 3, 40},
          {"no_rows", DType::kBF16, 1, 0, 64, 256, 0, 10},
          {"no_vectors", DType::kBF16, 1, 3, 64, 256, 10, 0}};
}

class CudaScoreCodes : public testing::TestWithParam<ScoreCodesCase> {};

TEST_P(CudaScoreCodes, AgreesWithPlainLoops) {
  const ScoreCodesCase& c = GetParam();
  constexpr float kNotWritten = -7.5f;
  Chunks chunks(c.dtype, c.partitions, 3, c.vectors, c.dim);
  chunks.SetAllRandom(3);
  chunks.CodeAll();
  TestRandom random(4);
  auto queries = random.Normals(static_cast<size_t>(c.partitions * c.rows * c.dim));
  for (size_t i = 0; i < queries.size(); i += 11) queries[i] *= 20;  // outliers
  const int64_t stride = c.count + c.behind;
  std::vector<float> expected(static_cast<size_t>(c.partitions * c.rows * stride), kNotWritten);
  ScoreCodesParams params = chunks.Scoring(c.first, c.count, c.rows, queries.data());
  params.score_stride = c.behind == 0 ? 0 : stride;
  params.scores = expected.data();
  ScoreCodes(params);
  std::vector<float> first;
  for (uint64_t order = 0; order < 3; ++order) {
    cuda_on_cpu::SetOrderSeed(TestSeed() + order);
    std::vector<float> found(expected.size() + 1, kNotWritten);
    params.scores = found.data();
    ASSERT_TRUE(cuda::ScoreCodes(params, nullptr).has_value());
    EXPECT_EQ(found.back(), kNotWritten);
    found.pop_back();
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(found[i], expected[i], 2e-6 * (100 + std::fabs(expected[i]))) << i;
    }
    if (order == 0) first = found;
    EXPECT_EQ(found, first);
  }
}

// The bound that the header states, against products in double.
TEST_P(CudaScoreCodes, IsWithinItsBound) {
  const ScoreCodesCase& c = GetParam();
  Chunks chunks(c.dtype, c.partitions, 3, c.vectors, c.dim);
  chunks.SetAllRandom(5);
  chunks.CodeAll();
  TestRandom random(6);
  const auto queries = random.Normals(static_cast<size_t>(c.partitions * c.rows * c.dim));
  std::vector<float> found(static_cast<size_t>(c.partitions * c.rows * c.count));
  ScoreCodesParams params = chunks.Scoring(c.first, c.count, c.rows, queries.data());
  params.scores = found.data();
  ASSERT_TRUE(cuda::ScoreCodes(params, nullptr).has_value());
  for (size_t i = 0; i < found.size(); ++i) {
    const auto row = static_cast<int32_t>(static_cast<int64_t>(i) / c.count);
    const int64_t vector = c.first + static_cast<int64_t>(i) % c.count;
    const int32_t p = row / c.rows;
    const float* query = queries.data() + row * c.dim;
    double exact = 0, largest = 0, codes = 0, magnitude = 0;
    for (int32_t d = 0; d < c.dim; ++d) {
      const double product = query[d] * static_cast<double>(chunks.Coded(p, vector, d));
      exact += product;
      magnitude += std::fabs(product);
      largest =
          std::max(largest, std::fabs(static_cast<double>(query[d]) * chunks.Step(p, vector, d)));
      codes += std::abs(chunks.Code(p, vector, d));
    }
    ASSERT_NEAR(found[i], exact, largest / 2 / kQueryUnits * codes + 2e-6 * magnitude + 1e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaScoreCodes, testing::ValuesIn(ScoreCodesCases()),
                         [](const auto& info) { return std::string(info.param.name); });

// As in a landmark model's first layer: codes and what is not coded yet must tie, bit by bit.
TEST(CudaScoreCodesTest, OfEqualVectorsAreThoseOfTheVectors) {
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    for (const int32_t dim : {20, 64, 77, 128, 250}) {
      constexpr int32_t kRows = 11, kVectors = 70;
      Chunks chunks(dtype, 1, 2, kVectors, dim);
      TestRandom random(7);
      const auto one = random.Normals(static_cast<size_t>(dim));
      for (int64_t v = 0; v < 2 * kVectors; ++v) chunks.Set(0, v, one.data());
      chunks.CodeAll();
      const auto queries = random.Normals(static_cast<size_t>(kRows * dim));
      std::vector<float> coded(kRows * 2 * kVectors), plain(kRows * 2 * kVectors);
      ScoreCodesParams params = chunks.Scoring(0, 2 * kVectors, kRows, queries.data());
      params.scores = coded.data();
      ASSERT_TRUE(cuda::ScoreCodes(params, nullptr).has_value());
      ASSERT_TRUE(cuda::ScoreVectors({.rows = kRows,
                                      .dim = dim,
                                      .padded_dim = chunks.padded,
                                      .vectors = 2 * kVectors,
                                      .dtype = dtype,
                                      .stored = chunks.plain.data(),
                                      .queries = queries.data(),
                                      .scores = plain.data()},
                                     nullptr)
                      .has_value());
      EXPECT_EQ(coded, plain) << DTypeName(dtype) << " " << dim;
    }
  }
}

TEST(CudaScoreCodesTest, SizesItDoesNotTakeAreRefused) {
  EXPECT_EQ(cuda::ScoreCodes({.rows = 1, .dim = 264, .chunk_vectors = 256}, nullptr).error().code,
            Errc::kUnsupported);
  EXPECT_EQ(cuda::CodeChunk({.vectors = 256, .dim = 264, .padded_dim = 264}, nullptr).error().code,
            Errc::kUnsupported);
}

}  // namespace
}  // namespace cairn
