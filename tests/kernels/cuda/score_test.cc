#include "kernels/cuda/score.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/support/cuda_on_cpu/thread_block.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

struct ScoreCase {
  const char* name;
  DType dtype;
  int32_t partitions, rows, dim;
  int64_t vectors;
  int64_t behind = 0;  ///< places behind the scores of a row
};

void PrintTo(const ScoreCase& from, std::ostream* os) { *os << from.name; }

std::vector<ScoreCase> Cases() {
  return {
      {"one", DType::kBF16, 1, 1, 64, 1},          {"a_group", DType::kBF16, 3, 3, 64, 200},
      {"rows", DType::kBF16, 2, 21, 64, 67},       {"eight_rows", DType::kBF16, 1, 8, 64, 64},
      {"small_dim", DType::kBF16, 2, 3, 20, 65},   {"odd_dim", DType::kBF16, 1, 9, 77, 130},
      {"dim_80", DType::kBF16, 2, 4, 80, 100},     {"dim_128", DType::kBF16, 2, 4, 128, 129},
      {"dim_256", DType::kBF16, 2, 5, 256, 70},    {"f32", DType::kF32, 2, 3, 64, 100},
      {"f32_128", DType::kF32, 1, 4, 128, 65},     {"f32_odd", DType::kF32, 2, 9, 250, 40},
      {"strided", DType::kBF16, 2, 10, 64, 70, 5}, {"strided_f32", DType::kF32, 3, 3, 64, 33, 1},
      {"no_rows", DType::kF32, 1, 0, 64, 10},      {"no_vectors", DType::kF32, 1, 3, 64, 0}};
}

class CudaScore : public testing::TestWithParam<ScoreCase> {};

TEST_P(CudaScore, AgreesWithPlainLoops) {
  const ScoreCase& c = GetParam();
  constexpr int64_t kSpare = 3;  // vectors of a partition that are not asked for
  const int32_t padded = cuda::PaddedDim(c.dim);
  TestRandom random(1);
  const auto queries = random.Normals(static_cast<size_t>(c.partitions * c.rows * c.dim));
  const auto numbers = static_cast<size_t>((c.vectors + kSpare) * c.partitions * padded);
  std::vector<float> plain = random.Normals(numbers);
  for (size_t i = 0; i < numbers; ++i) {
    if (static_cast<int32_t>(i % static_cast<size_t>(padded)) >= c.dim) plain[i] = 0.0f;
  }
  std::vector<uint32_t> stored(numbers);  // aligned, and large enough
  if (c.dtype == DType::kF32) {
    std::copy(plain.begin(), plain.end(), reinterpret_cast<float*>(stored.data()));
  } else {
    ConvertFromFloat(c.dtype, plain.data(), stored.data(), numbers);
  }
  constexpr float kNotWritten = -7.0f;
  const int64_t stride = c.vectors + c.behind;
  std::vector<float> expected(static_cast<size_t>(c.partitions * c.rows * stride), kNotWritten);
  ScoreParams params = {.partitions = c.partitions,
                        .rows = c.rows,
                        .dim = c.dim,
                        .padded_dim = padded,
                        .vectors = c.vectors,
                        .dtype = c.dtype,
                        .stored = stored.data(),
                        .partition_stride = (c.vectors + kSpare) * padded,
                        .queries = queries.data(),
                        .scores = expected.data(),
                        .score_stride = c.behind == 0 ? 0 : stride};
  ScoreVectors(params);
  EXPECT_EQ(std::count(expected.begin(), expected.end(), kNotWritten),
            c.partitions * c.rows * c.behind);
  std::vector<float> first;
  for (uint64_t order = 0; order < 3; ++order) {
    cuda_on_cpu::SetOrderSeed(TestSeed() + order);
    std::vector<float> found(expected.size() + 1, kNotWritten);
    params.scores = found.data();
    ASSERT_TRUE(cuda::ScoreVectors(params, nullptr).has_value());
    EXPECT_EQ(found.back(), kNotWritten);
    found.pop_back();
    for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(found[i], expected[i], 1e-4) << i;
    if (order == 0) first = found;
    EXPECT_EQ(found, first);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaScore, testing::ValuesIn(Cases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(CudaScoreVectors, EqualOnesHaveEqualScoresWhereverTheyLie) {
  constexpr int32_t kVectors = 150, kRows = 11, kDim = 72;
  TestRandom random(2);
  const std::vector<float> one = random.Normals(kDim);
  const std::vector<float> queries = random.Normals(kRows * kDim);
  std::vector<float> stored;
  for (int i = 0; i < kVectors; ++i) stored.insert(stored.end(), one.begin(), one.end());
  std::vector<float> scores(kRows * kVectors);
  ASSERT_TRUE(cuda::ScoreVectors({.rows = kRows,
                                  .dim = kDim,
                                  .padded_dim = kDim,
                                  .vectors = kVectors,
                                  .dtype = DType::kF32,
                                  .stored = stored.data(),
                                  .queries = queries.data(),
                                  .scores = scores.data()},
                                 nullptr));
  for (int row = 0; row < kRows; ++row) {
    for (int v = 1; v < kVectors; ++v) {
      EXPECT_EQ(scores[static_cast<size_t>(row * kVectors + v)],
                scores[static_cast<size_t>(row * kVectors)]);
    }
  }
}

TEST(CudaScoreVectors, SizesItDoesNotTakeAreRefused) {
  const Status status = cuda::ScoreVectors({.rows = 1, .dim = 264, .padded_dim = 264}, nullptr);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kUnsupported);
}

}  // namespace
}  // namespace cairn
