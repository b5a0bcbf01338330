#include "kernels/fold.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "tests/kernels/fold_case.h"

namespace cairn {
namespace {

class FoldTable : public testing::TestWithParam<FoldCase> {};

// From the definition, in double.
TEST_P(FoldTable, AgreesWithTheDefinition) {
  const FoldCase& from = GetParam();
  FoldData data(from, 1);
  const FoldOutcome found = data.Run(FoldScores);
  const int32_t groups = (from.rows + from.rows_per_group - 1) / from.rows_per_group;
  for (int32_t p = 0; p < from.partitions; ++p) {
    std::vector<std::vector<double>> weights(static_cast<size_t>(groups));
    for (auto& group : weights) group.assign(static_cast<size_t>(from.blocks), -INFINITY);
    for (int32_t r = 0; r < from.rows; ++r) {
      std::vector<double> scores;
      for (int32_t b = 0; b < from.blocks; ++b) scores.push_back(data.BlockScore(p, r, b));
      double total = from.others ? std::exp(data.other_lse[data.Row(p, r)]) : 0.0;
      for (const double score : scores) total += std::exp(score);
      EXPECT_NEAR(found.lse[data.Row(p, r)], std::log(total), 2e-5);
      auto& group = weights[static_cast<size_t>(r / from.rows_per_group)];
      for (size_t b = 0; b < scores.size(); ++b) {
        group[b] = std::max(group[b], scores[b] - std::log(total));
      }
    }
    for (int32_t g = 0; g < groups; ++g) {
      std::vector<double> best = weights[static_cast<size_t>(g)];
      std::sort(best.begin(), best.end(), std::greater<>());
      for (int32_t i = 0; i < from.k; ++i) {
        const auto at = static_cast<size_t>((p * groups + g) * from.k + i);
        const double own = weights[static_cast<size_t>(g)][static_cast<size_t>(found.chosen[at])];
        EXPECT_NEAR(found.log_weights[at], own, 2e-5);
        EXPECT_NEAR(own, best[static_cast<size_t>(i)], 2e-5) << "heavier ones were left out";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, FoldTable, testing::ValuesIn(FoldCases()),
                         [](const auto& info) { return info.param.name; });

TEST(Fold, OfEqualBlocksTheFirstAreChosenInOrder) {
  std::vector<float> scores = {1, 3, 3, 2, 3, 0, 2};
  std::vector<float> lse(1), log_weights(5);
  std::vector<int32_t> chosen(5);
  FoldParams params;
  params.rows = 1;
  params.blocks = 7;
  params.k = 5;
  params.scores = scores.data();
  params.lse = lse.data();
  params.chosen = chosen.data();
  params.log_weights = log_weights.data();
  FoldScores(params);
  EXPECT_EQ(chosen, (std::vector<int32_t>{1, 2, 4, 3, 6}));
  EXPECT_EQ(log_weights[0], log_weights[2]);
}

}  // namespace
}  // namespace cairn
