// The index's inner loops on every instruction set this machine has.
#include "index/score_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "hwy/targets.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

class ScoreKernels : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    hwy::SetSupportedTargetsForTest(GetParam());
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  void TearDown() override {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

TEST_P(ScoreKernels, ScanGivesInnerProducts) {
  TestRandom random(1);
  for (const DType type : {DType::kF32, DType::kBF16}) {
    for (const int32_t dim : {4, 20, 64, 128}) {
      for (const int64_t count : {1, 2, 7, 33}) {
        for (const int32_t rows : {1, 2, 3, 4, 5, 9}) {
          const auto vectors = random.Normals(static_cast<size_t>(count * dim));
          const auto queries = random.Normals(static_cast<size_t>(rows * dim));
          std::vector<std::byte> stored(vectors.size() * DTypeBytes(type));
          ConvertFromFloat(type, vectors.data(), stored.data(), vectors.size());
          std::vector<float> back(vectors.size());
          ConvertToFloat(type, stored.data(), back.data(), back.size());
          const int64_t stride = count + 3;
          std::vector<float> scores(static_cast<size_t>(rows * stride));
          ScanScores(type, stored.data(), count, dim, queries.data(), rows, scores.data(), stride);
          for (int64_t r = 0; r < rows; ++r) {
            for (int64_t i = 0; i < count; ++i) {
              double sum = 0;
              for (int64_t c = 0; c < dim; ++c) {
                sum += static_cast<double>(queries[static_cast<size_t>(r * dim + c)]) *
                       back[static_cast<size_t>(i * dim + c)];
              }
              EXPECT_NEAR(scores[static_cast<size_t>(r * stride + i)], sum, 1e-4);
            }
          }
        }
      }
    }
  }
}

TEST_P(ScoreKernels, FoldTakesTheLargestOfABlock) {
  TestRandom random(2);
  for (const int32_t representatives : {1, 2, 3, 4, 7}) {
    for (const int64_t blocks : {1, 5, 16, 40}) {
      const auto scores = random.Normals(static_cast<size_t>(blocks * representatives), 5.0f);
      std::vector<float> folded(static_cast<size_t>(blocks));
      const float max = FoldScores(scores.data(), representatives, blocks, folded.data());
      for (int64_t b = 0; b < blocks; ++b) {
        const auto begin = scores.begin() + b * representatives;
        EXPECT_EQ(folded[static_cast<size_t>(b)],
                  *std::max_element(begin, begin + representatives));
      }
      EXPECT_EQ(max, *std::max_element(folded.begin(), folded.end()));
      double sum = 0;
      for (const float x : folded) sum += std::exp(static_cast<double>(x) - max);
      EXPECT_NEAR(SumOfExp(folded.data(), blocks, max), sum, 1e-5 * sum);
    }
  }
}

TEST_P(ScoreKernels, MaximaOfRuns) {
  TestRandom random(4);
  for (const int64_t blocks : {1, 15, 16, 17, 63, 64, 65, 130, 1024}) {
    const auto scores = random.Normals(static_cast<size_t>(blocks));
    const int64_t runs = (blocks + 15) / 16;
    std::vector<float> maxima(static_cast<size_t>(runs));
    MaximaOfSixteens(scores.data(), blocks, maxima.data());
    for (int64_t i = 0; i < runs; ++i) {
      const auto end = scores.begin() + std::min(16 * i + 16, blocks);
      EXPECT_EQ(maxima[static_cast<size_t>(i)], *std::max_element(scores.begin() + 16 * i, end));
    }
  }
}

TEST_P(ScoreKernels, OfferedBlocksWeighTheLargestOverRows) {
  TestRandom random(3);
  for (const int64_t count : {1, 15, 16, 1023, 1024, 2500}) {
    for (const int32_t rows : {1, 3, 8}) {
      const int64_t stride = count + 5;
      auto scores = random.Normals(static_cast<size_t>(rows * stride));
      for (float& s : scores) s = std::round(4 * s) / 4;  // many ties
      std::vector<float> lse(static_cast<size_t>(rows));
      for (float& x : lse) x = static_cast<float>(random.Int(0, 2));
      std::vector<float> best(static_cast<size_t>(count), -std::numeric_limits<float>::infinity());
      FoldRows(scores.data(), stride, rows, lse.data(), count, best.data());
      std::vector<int64_t> order;
      for (int64_t b = 0; b < count; ++b) {
        float weight = -std::numeric_limits<float>::infinity();
        for (int32_t r = 0; r < rows; ++r) {
          weight = std::max(
              weight, scores[static_cast<size_t>(r * stride + b)] - lse[static_cast<size_t>(r)]);
        }
        EXPECT_EQ(best[static_cast<size_t>(b)], weight);
        order.push_back(b);
      }
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return best[static_cast<size_t>(a)] > best[static_cast<size_t>(b)];
      });
      const auto k = static_cast<int32_t>(std::min<int64_t>(count, 11));
      TopBlocks top;
      top.Reset(k);
      OfferBlocks(scores.data(), stride, rows, lse.data(), count, &top);
      std::vector<int64_t> ordinals(static_cast<size_t>(k));
      std::vector<float> weights(static_cast<size_t>(k));
      top.Write(100, ordinals.data(), weights.data());
      for (size_t i = 0; i < ordinals.size(); ++i) {
        EXPECT_EQ(ordinals[i], 100 + order[i]);
        EXPECT_EQ(weights[i], best[static_cast<size_t>(order[i])]);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, ScoreKernels,
                         testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& info) { return hwy::TargetName(info.param); });

}  // namespace
}  // namespace cairn
