#include "index/candidates.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace cairn {
namespace {

struct Choice {
  std::vector<int64_t> blocks;
  float lse;
  bool all;
  int64_t scored;  // blocks that were asked for
};

Choice Choose(const std::vector<float>& scores, int32_t k, std::vector<int64_t> found,
              float limit) {
  Choice choice{{}, 0, false, 0};
  std::vector<Candidate> chosen(static_cast<size_t>(k));
  choice.all = ChooseOfRow(
      static_cast<int64_t>(scores.size()), k, &found, limit,
      [&](int64_t first, int64_t count, float* out) {
        std::copy_n(scores.begin() + first, count, out);
        choice.scored += count;
      },
      &choice.lse, chosen.data());
  for (const Candidate& c : chosen) {
    EXPECT_EQ(c.score, scores[static_cast<size_t>(c.block)]);
    choice.blocks.push_back(c.block);
  }
  return choice;
}

const std::vector<float> kScores{1, 5, 3, 5, 2, 4};

TEST(Candidates, WhatIsCertainIsChosenOfWhatWasFound) {
  const Choice choice = Choose(kScores, 2, {3, 1, 3, 5}, 3.5f);
  EXPECT_EQ(choice.blocks, (std::vector<int64_t>{1, 3}));
  EXPECT_FALSE(choice.all);
  EXPECT_EQ(choice.scored, 3);
  EXPECT_NEAR(choice.lse, std::log(2 * std::exp(5.0) + std::exp(4.0)), 1e-5);
}

TEST(Candidates, AllAreScoredWhereATieMayBeHidden) {
  // Block 1, which was not found, ties with the second of the choice.
  const Choice choice = Choose(kScores, 1, {3, 5}, 5.0f);
  EXPECT_EQ(choice.blocks, std::vector<int64_t>{1});
  EXPECT_TRUE(choice.all);
  EXPECT_EQ(choice.scored, 2 + 6);
  double sum = 0;
  for (const float s : kScores) sum += std::exp(s);
  EXPECT_NEAR(choice.lse, std::log(sum), 1e-5);
}

TEST(Candidates, AllAreScoredWhereTooFewWereFoundOrTheLimitIsNoNumber) {
  EXPECT_EQ(Choose(kScores, 3, {3, 1}, -9).blocks, (std::vector<int64_t>{1, 3, 5}));
  EXPECT_EQ(Choose(kScores, 1, {}, -9).blocks, std::vector<int64_t>{1});
  EXPECT_TRUE(Choose(kScores, 0, {}, -9).all);
  EXPECT_TRUE(Choose(kScores, 1, {1}, std::nanf("")).all);
}

TEST(Candidates, NothingIsScoredTwiceWhereAllWereFound) {
  const Choice choice = Choose(kScores, 6, {5, 4, 3, 2, 1, 0, 0}, 9);
  EXPECT_EQ(choice.blocks, (std::vector<int64_t>{1, 3, 5, 2, 4, 0}));
  EXPECT_TRUE(choice.all);
  EXPECT_EQ(choice.scored, 6);
}

TEST(Candidates, NoChoiceStillHasAnLse) {
  const Choice choice = Choose(kScores, 0, {1, 3}, 9);
  EXPECT_TRUE(choice.blocks.empty());
  EXPECT_FALSE(choice.all);
  EXPECT_NEAR(choice.lse, 5 + std::log(2.0), 1e-5);
}

TEST(Candidates, AGroupTakesTheLargestWeightOfItsRows) {
  // The second partition; groups of two rows, the last is short.
  SearchRequest request;
  request.partition_count = 2;
  request.rows = 3;
  request.rows_per_group = 2;
  request.begin = 10;
  SearchResult result;
  result.groups = 2;
  result.k = 2;
  result.lse = {0, 0, 0, 1, 2, 3};
  result.ordinals.assign(8, -1);
  result.log_weights.assign(8, 0);
  std::vector<Candidate> chosen(12, Candidate{0, 100});
  const Candidate own[] = {{7, 1}, {4, 0}, {4, 3}, {5, 0}, {9, 3}, {2, 2}};
  std::copy(std::begin(own), std::end(own), chosen.begin() + 6);
  FoldGroup(request, 1, 0, chosen.data(), &result);
  FoldGroup(request, 1, 1, chosen.data(), &result);
  // Block 4 weighs -1 by the first row and 1 by the second; 7 weighs 0.
  EXPECT_EQ(result.ordinals, (std::vector<int64_t>{-1, -1, -1, -1, 14, 17, 19, 12}));
  EXPECT_EQ(result.log_weights, (std::vector<float>{0, 0, 0, 0, 1, 0, 0, -1}));
}

}  // namespace
}  // namespace cairn
