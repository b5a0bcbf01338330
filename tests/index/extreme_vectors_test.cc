// Vectors that are finite and yet so large or small that their squares are not: every kind of index
// chooses as many blocks as it was asked for, and nearly those that are best.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "index/landmark_index.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

constexpr int32_t kDim = 20, kRepresentatives = 2, kChosen = 6;
constexpr int64_t kBlocks = 1500;

class ExtremeVectorsTest : public testing::TestWithParam<std::tuple<IndexKind, float, int32_t>> {
 protected:
  ExtremeVectorsTest() : rows_(std::get<2>(GetParam())) {
    TestRandom random(11);
    vectors_ = random.Normals(kBlocks * kRepresentatives * kDim);
    const std::vector<float> query = random.Normals(kDim, 0.1f);
    for (int32_t row = 0; row < rows_; ++row) {  // a group of many rows that agree
      queries_.insert(queries_.end(), query.begin(), query.end());
    }
    for (float& number : vectors_) number *= std::get<1>(GetParam());
  }
  /// The blocks' largest scores.
  std::vector<double> Scores() const {
    std::vector<double> scores(kBlocks, -HUGE_VAL);
    for (int64_t v = 0; v < kBlocks * kRepresentatives; ++v) {
      double score = 0;
      for (int64_t d = 0; d < kDim; ++d) {
        score += double{vectors_[static_cast<size_t>(v * kDim + d)]} *
                 double{queries_[static_cast<size_t>(d)]};
      }
      double& most = scores[static_cast<size_t>(v / kRepresentatives)];
      most = std::max(most, score);
    }
    return scores;
  }

  int32_t rows_;
  std::vector<float> vectors_, queries_;
};

TEST_P(ExtremeVectorsTest, AreFound) {
  const auto index = MakeIndex({.kind = std::get<0>(GetParam()),
                                .partitions = 1,
                                .dim = kDim,
                                .representatives = kRepresentatives})
                         .value();
  ASSERT_TRUE(index->Add(0, 1, kBlocks, vectors_.data()).has_value());
  SearchRequest request;
  request.queries = queries_.data();
  request.rows = request.rows_per_group = rows_;
  request.end = kBlocks;
  request.k = kChosen;
  SearchResult result;
  result.ordinals.assign(kChosen, 7);  // of a search before
  ASSERT_TRUE(index->Search(request, &result).has_value());
  ASSERT_EQ(result.k, kChosen);
  const std::set<int64_t> chosen(result.ordinals.begin(), result.ordinals.end());
  ASSERT_EQ(chosen.size(), size_t{kChosen});
  ASSERT_TRUE(*chosen.begin() >= 0 && *chosen.rbegin() < kBlocks);
  const std::vector<double> scores = Scores();
  std::vector<double> sorted = scores;
  std::sort(sorted.rbegin(), sorted.rend());
  const double range = sorted.front() - sorted.back();
  for (const float lse : result.lse) {
    // Lists count vectors where the others count blocks.
    EXPECT_NEAR(lse, std::max(sorted.front(), std::log(kBlocks)),
                0.02 * range + std::log(kRepresentatives) + 1e-3);
  }
  for (const int64_t block : chosen) {
    const double least = sorted[kChosen - 1] - 0.02 * range;
    if (range > 1) {  // else weights are equal in f32
      EXPECT_GE(scores[static_cast<size_t>(block)], least);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, ExtremeVectorsTest,
    testing::Combine(testing::Values(IndexKind::kExact, IndexKind::kInt8, IndexKind::kLists),
                     testing::Values(1e-42f, 1e-39f, 1e-30f, 1e4f, 1e12f, 1e19f, 1e30f, 1e36f),
                     testing::Values(1, 20)),
    [](const auto& info) {
      std::string name(IndexKindName(std::get<0>(info.param)));
      const int exponent = static_cast<int>(std::lround(std::log10(std::get<1>(info.param))));
      name += exponent < 0 ? "Minus" : "Plus";
      name += std::to_string(std::abs(exponent)) + "Rows" + std::to_string(std::get<2>(info.param));
      return name;
    });

}  // namespace
}  // namespace cairn
