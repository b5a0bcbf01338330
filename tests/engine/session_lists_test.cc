// Sessions whose index finds blocks by estimates: what a step reads depends neither on who looks on
// nor on when the session was opened.
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "engine/engine.h"
#include "engine/step_log.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

using test::Problem;
using test::Trace;

// Lists are made from 8,192 vectors on; a block has as many as rows.
constexpr int64_t kRows = 9'600, kRead = 9'200;
constexpr int32_t kBlockRows = 8, kManyRows = 64, kFewRows = 8;

class SessionOfLists : public testing::Test {
 protected:
  SessionOfLists()
      : problem_(Shape(), kRows, 91), engine_(test::MemoryEngine({.host_bytes = 64 << 20})) {
    options_.retrieve = 4;
    options_.sinks = 0;
    options_.recent_tokens = 8;
    options_.max_step_rows = kManyRows;
    options_.index = IndexKind::kAuto;
    options_.selection = Selection::kPerToken;
  }
  static SessionShape Shape() {
    SessionShape shape =
        test::MakeShape(AttentionMode::kUnmodified, 2, 4, 2, {kBlockRows, 16, DType::kF16});
    shape.representatives = kBlockRows;
    return shape;
  }
  /// A session of so many rows, committed.
  std::unique_ptr<Session> Make(const std::string& name, int64_t rows = kRead) {
    auto session = engine_->CreateSession(name, problem_.shape, options_, "{}");
    EXPECT_TRUE(session.has_value()) << session.error().message;
    EXPECT_TRUE(ReadSteps(*session.value(), problem_, rows, kManyRows).has_value());
    EXPECT_TRUE(session.value()->Commit("{}").has_value());
    return std::move(session).value();
  }
  /// What it gives for the rest, or for rows before `end`, by steps of few rows.
  std::vector<float> Rest(Session& session, int64_t end = kRows) {
    const int64_t first = session.rows();
    Trace trace(problem_);
    const Status done = RunSteps(session, problem_, end, kFewRows, &trace);
    EXPECT_TRUE(done.has_value()) << done.error().message;
    std::vector<float> rest;
    for (int32_t layer = 0; layer < problem_.shape.layers; ++layer) {
      const auto begin = trace.o.begin() + layer * kRows * problem_.q_width();
      rest.insert(rest.end(), begin + first * problem_.q_width(), begin + end * problem_.q_width());
    }
    return rest;
  }

  Problem problem_;
  SessionOptions options_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(SessionOfLists, AreTheSameUnderObservation) {
  const std::vector<float> unseen = Rest(*Make("unseen"));
  auto session = Make("seen");
  StepLog log;
  session->Observe(&log);
  EXPECT_EQ(Rest(*session), unseen);
  ASSERT_FALSE(log.heads.empty());
  for (const HeadLog& head : log.heads) {
    EXPECT_GE(head.runner_up, 0);
    for (const ReadBlock& read : log.Of(head)) {
      if (read.role != BlockRole::kChosen) continue;
      EXPECT_NE(read.block, head.runner_up);
      EXPECT_GE(read.log_weight, head.runner_up_log_weight);
    }
  }
}

TEST_F(SessionOfLists, GoOnWhereTheyWereOpenedAsIfTheyHadNotBeen) {
  const std::vector<float> whole = Rest(*Make("whole"));
  (void)Make("opened");
  auto opened = engine_->OpenSession("opened", problem_.shape, options_);
  ASSERT_GOOD(opened);
  opened.value()->SettleFirst();
  EXPECT_EQ(Rest(*opened.value()), whole);
}

// Whatever a question adds to an index, and does to what was there.
TEST_F(SessionOfLists, AreAfterAQuestionThatIsTakenBackWhatTheyWere) {
  const Problem question(Shape(), kRows, 92);
  for (const IndexKind kind : {IndexKind::kAuto, IndexKind::kLists, IndexKind::kInt8,
                               IndexKind::kExact, IndexKind::kFaiss}) {
    SCOPED_TRACE(IndexKindName(kind));
    options_.index = kind;
    const std::string name(IndexKindName(kind));
    // Lists of `lists` and chunks of codes are there after 256 vectors.
    const int64_t rows = kind == IndexKind::kAuto ? kRead : 1'200;
    const int64_t end = rows + 400;
    const std::vector<float> unasked = Rest(*Make(name, rows), end);
    auto session = Make("asked-" + name, rows);
    uint64_t bytes = std::numeric_limits<uint64_t>::max();
    for (int times = 0; times < 2; ++times) {
      ASSERT_GOOD(ReadSteps(*session, question, end, kManyRows));
      ASSERT_GOOD(session->Revert());
      EXPECT_LE(session->index_bytes(), bytes) << "questions add up";
      bytes = session->index_bytes();
    }
    EXPECT_TRUE(Rest(*session, end) == unasked);
  }
}

// An opening leaves lists to the first question.
TEST_F(SessionOfLists, AreAfterAQuestionWhatAnOpeningComesTo) {
  const std::vector<float> unasked = Rest(*Make("unasked"));
  (void)Make("opened");
  auto opened = engine_->OpenSession("opened", problem_.shape, options_);
  ASSERT_GOOD(opened);
  const Problem question(Shape(), kRows, 93);
  ASSERT_GOOD(ReadSteps(*opened.value(), question, kRows, kManyRows));
  ASSERT_GOOD(opened.value()->Revert());
  EXPECT_TRUE(Rest(*opened.value()) == unasked);
}

}  // namespace
}  // namespace cairn
