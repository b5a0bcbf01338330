#include "tools/passages.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace cairn {
namespace {

SessionShape Shape() {
  SessionShape shape;
  shape.layers = 1;
  shape.query_heads = shape.kv_heads = 2;
  shape.block = {.block_rows = 4, .head_dim = 2, .dtype = DType::kF32};
  shape.mode = AttentionMode::kLandmark;
  return shape;
}

struct Read {
  int64_t block;
  float share;
};

void Add(StepLog* log, int64_t row, int32_t head, const std::vector<Read>& reads) {
  HeadLog made{
      .row = row, .layer = 0, .head = head, .first = log->blocks.size(), .count = reads.size()};
  for (const Read& read : reads) {
    log->blocks.push_back({.block = read.block, .share = read.share, .top_share = read.share});
  }
  log->heads.push_back(made);
}

std::vector<int64_t> BlocksOf(const std::vector<Passage>& passages) {
  std::vector<int64_t> blocks;
  for (const Passage& passage : passages) blocks.push_back(passage.block);
  return blocks;
}

TEST(PassagesTest, RowsOfLandmarksCountToTheTokenInFront) {
  const SessionShape shape = Shape();
  const std::vector<int64_t> expected{0, 1, 2, 2, 3, 4, 5, 5, 6};
  for (size_t row = 0; row < expected.size(); ++row) {
    EXPECT_EQ(TokenOfRow(shape, static_cast<int64_t>(row)), expected[row]) << row;
  }
  SessionShape unmodified = shape;
  unmodified.mode = AttentionMode::kUnmodified;
  EXPECT_EQ(TokenOfRow(unmodified, 7), 7);
}

TEST(PassagesTest, EveryTokenIsPredictedFromOneRow) {
  SessionShape shape = Shape();
  const auto predicted = [&](bool from_landmarks) {
    std::vector<int64_t> tokens;
    for (int64_t row = 0; row < 9; ++row) {
      tokens.push_back(PredictedBy(shape, from_landmarks, row).value_or(-1));
    }
    return tokens;
  };
  EXPECT_EQ(predicted(false), (std::vector<int64_t>{1, 2, 3, -1, 4, 5, 6, -1, 7}));
  EXPECT_EQ(predicted(true), (std::vector<int64_t>{1, 2, -1, 3, 4, 5, -1, 6, 7}));
  shape.mode = AttentionMode::kUnmodified;
  EXPECT_EQ(predicted(true), (std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
  shape = Shape();
  const AnswerPlace answer{0, 3, {1, 1}, false};
  EXPECT_EQ(AnswerTokenOf(shape, answer, 1), std::nullopt) << "in front of the answer";
  EXPECT_EQ(AnswerTokenOf(shape, answer, 2), 0);
  EXPECT_EQ(AnswerTokenOf(shape, answer, 3), std::nullopt) << "a landmark";
  EXPECT_EQ(AnswerTokenOf(shape, answer, 4), 1);
  EXPECT_EQ(AnswerTokenOf(shape, answer, 5), std::nullopt) << "behind it";
}

TEST(PassagesTest, WhatALandmarkLooksAtIsNoSource) {
  StepLog log;
  Add(&log, 42, 0, {{1, 0.2f}});
  Add(&log, 43, 0, {{2, 0.9f}});
  const AnswerPlace answer{80, TokenOfRow(Shape(), 42) + 1, {1}, false};
  const auto passages = RankPassages(log, Shape(), answer);
  EXPECT_EQ(BlocksOf(passages), (std::vector<int64_t>{1}));
}

TEST(PassagesTest, WeightsAreOfWordsThatTell) {
  const auto weights = TokenWeights({"The", " code", " of", " it", " is", " 4", "8", "."},
                                    "What is the code of the library?");
  EXPECT_EQ(weights[5], 1);
  EXPECT_EQ(weights[6], 1);
  EXPECT_EQ(weights[7], 0) << "a sign";
  EXPECT_LT(weights[1], weights[3]) << "a word of the question, and one that is none";
  EXPECT_LT(weights[3], weights[5]);
  const auto parts = TokenWeights({" Mad", "rid", "!"}, "Where?");
  EXPECT_EQ(parts, (std::vector<double>{1, 1, 0})) << "both halves of a name";
  EXPECT_EQ(TokenWeights({"!", "?"}, ""), (std::vector<double>{1, 1}));
  EXPECT_TRUE(TokenWeights({}, "x").empty());
}

TEST(PassagesTest, WhatEveryTokenLooksAtCountsForNothing) {
  StepLog log;
  // The question: head 0 looks at block 0, head 1 at block 9.
  for (int64_t row = 80; row < 84; ++row) {
    Add(&log, row, 0, {{0, 0.9f}, {5, 0.01f}});
    Add(&log, row, 1, {{9, 0.6f}, {5, 0.01f}});
  }
  // The answer: the same, but for what one head gives block 5 at the token that says something.
  const int64_t first = TokenOfRow(Shape(), 84) + 1;
  for (int64_t row = 84; row < 86; ++row) {
    Add(&log, row, 0, {{0, 0.9f}, {5, row == 85 ? 0.08f : 0.0f}});
    Add(&log, row, 1, {{9, 0.6f}, {5, row == 85 ? 0.3f : 0.0f}});
  }
  const auto passages = RankPassages(log, Shape(), {80, first, {0.05, 1}});
  EXPECT_EQ(BlocksOf(passages), (std::vector<int64_t>{5, 0, 9}));
  EXPECT_NEAR(passages[0].share, 1, 1e-6);
  EXPECT_EQ(passages[0].token, 1);
  EXPECT_EQ(passages[0].head, 1);
  EXPECT_FLOAT_EQ(static_cast<float>(passages[0].top_share), 0.3f);
  EXPECT_EQ(passages[0].times, 4);
  EXPECT_NEAR(passages[1].attention, 2 * 0.9 / 4, 1e-6) << "what it was in truth is told too";
}

TEST(PassagesTest, OfOneTokenAlone) {
  StepLog log;
  Add(&log, 40, 0, {{1, 0.2f}});
  Add(&log, 41, 0, {{2, 0.2f}});
  const int64_t first = TokenOfRow(Shape(), 40) + 1;
  EXPECT_EQ(RankPassages(log, Shape(), {80, first, {1, 0}})[0].block, 1);
  EXPECT_EQ(RankPassages(log, Shape(), {80, first, {0, 1}})[0].block, 2);
}

TEST(PassagesTest, WhatWasAskedIsNoSource) {
  StepLog log;
  Add(&log, 40, 0, {{7, 0.2f}, {8, 0.5f}, {9, 0.9f}});
  const int64_t first = TokenOfRow(Shape(), 40) + 1;
  // Blocks hold 3 tokens: 8 is a third in front of the question, 9 is all behind its begin.
  const auto passages = RankPassages(log, Shape(), {25, first, {1}});
  EXPECT_EQ(BlocksOf(passages), (std::vector<int64_t>{7, 8, 9}));
  EXPECT_EQ(passages[2].share, 0);
  EXPECT_NEAR(passages[1].share, (0.5 / 3) / (0.2 + 0.5 / 3), 1e-6);
}

TEST(PassagesTest, NothingReadGivesNothing) {
  EXPECT_TRUE(RankPassages(StepLog{}, Shape(), {0, 0, {1}}).empty());
  EXPECT_TRUE(RankPassages(StepLog{}, Shape(), {0, 0, {}}).empty());
}

}  // namespace
}  // namespace cairn
