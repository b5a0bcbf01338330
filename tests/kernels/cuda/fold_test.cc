#include "kernels/cuda/fold.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/kernels/fold_case.h"
#include "tests/support/cuda_on_cpu/thread_block.h"

namespace cairn {
namespace {

FoldOutcome OnDevice(const FoldData& data) {
  return data.Run([](const FoldParams& params) {
    std::vector<float> scratch(cuda::FoldScratchFloats(params), std::nanf(""));
    EXPECT_TRUE(cuda::FoldScores(params, scratch.data(), nullptr).has_value());
  });
}

class CudaFold : public testing::TestWithParam<FoldCase> {};

TEST_P(CudaFold, AgreesWithReference) {
  const FoldData data(GetParam(), 1);
  const FoldOutcome expected = data.Run(FoldScores);
  for (uint64_t order = 0; order < 4; ++order) {
    SCOPED_TRACE(order);
    cuda_on_cpu::SetOrderSeed(TestSeed() + order);
    const FoldOutcome found = OnDevice(data);
    ASSERT_EQ(found.chosen, expected.chosen);
    for (size_t i = 0; i < expected.lse.size(); ++i) {
      ASSERT_NEAR(found.lse[i], expected.lse[i], 1e-5f);
    }
    for (size_t i = 0; i < expected.log_weights.size(); ++i) {
      ASSERT_NEAR(found.log_weights[i], expected.log_weights[i], 1e-5f);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaFold, testing::ValuesIn(FoldCases()),
                         [](const auto& info) { return info.param.name; });

// Where all heavy blocks are those of one thread, its largest tells little of the others.
TEST(CudaFoldScores, HeavyBlocksMayBeNeighboursOrOneThreads) {
  for (const int32_t apart : {1, 128, 1024}) {
    const FoldCase from = {"", 1, 2, 2, 8400, 1, 8};
    FoldData data(from, 3);
    for (size_t i = 0; i < 8; ++i) {
      const size_t block = 7 + i * static_cast<size_t>(apart);
      data.scores[block] = data.scores[8400 + block] = 50.0f + static_cast<float>(i);
    }
    const FoldOutcome expected = data.Run(FoldScores);
    EXPECT_EQ(expected.chosen.front(), 7 + 7 * apart);
    EXPECT_EQ(OnDevice(data).chosen, expected.chosen);
  }
}

// Of two rows each has one block alone: their weights are −0 and 0, which are equal.
TEST(CudaFoldScores, SignsOfZeroMakeNoDifference) {
  const FoldCase from = {"", 1, 2, 2, 2, 1, 2};
  FoldData data(from, 4);
  constexpr float kNothing = -std::numeric_limits<float>::infinity();
  data.scores = {-0.0f, kNothing, kNothing, 3.0f};
  const FoldOutcome expected = data.Run(FoldScores);
  EXPECT_EQ(expected.chosen, (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(OnDevice(data).chosen, expected.chosen);
}

TEST(CudaFoldScores, OfMinusInfinityAreChosenLast) {
  FoldCase from = {"", 1, 2, 2, 40, 1, 40};
  FoldData data(from, 2);
  for (size_t i = 0; i < data.scores.size(); i += 3) {
    data.scores[i] = -std::numeric_limits<float>::infinity();
  }
  for (size_t i = 40; i < 80; ++i) data.scores[i] = -std::numeric_limits<float>::infinity();
  const FoldOutcome expected = data.Run(FoldScores);
  const FoldOutcome found = OnDevice(data);
  EXPECT_EQ(found.chosen, expected.chosen);
  EXPECT_EQ(found.lse[1], -std::numeric_limits<float>::infinity());
  EXPECT_EQ(expected.lse[1], found.lse[1]);
  EXPECT_EQ(found.log_weights.back(), -std::numeric_limits<float>::infinity());
}

}  // namespace
}  // namespace cairn
