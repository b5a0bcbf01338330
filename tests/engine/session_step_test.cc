// One session, step by step: limits, aborted steps, options that change, counts.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "engine/engine.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

using test::Problem;
using test::Trace;

SessionOptions Options() {
  SessionOptions options;
  options.retrieve = 2;
  options.recent_tokens = 8;
  options.max_step_rows = 10;
  return options;
}

class SessionStepTest : public testing::TestWithParam<AttentionMode> {
 protected:
  SessionStepTest()
      : problem_(test::MakeShape(GetParam(), 2, 4, 2, {4, 8, DType::kF16}), 200, 71),
        engine_(test::MemoryEngine()) {}

  std::unique_ptr<Session> Make(const char* name, const SessionOptions& options) {
    auto session = engine_->CreateSession(name, problem_.shape, options, "{}");
    EXPECT_TRUE(session.has_value()) << session.error().message;
    return session.has_value() ? std::move(session).value() : nullptr;
  }
  /// The context that Options() need (spec, section 3).
  int32_t LeastContext() const {
    const SessionOptions o = Options();
    const int32_t b = problem_.shape.block.block_rows;
    return GetParam() == AttentionMode::kLandmark
               ? (o.retrieve + 1) * b + o.max_step_rows + b - 1
               : (o.sinks + o.retrieve + 1) * b + o.recent_tokens + o.max_step_rows;
  }
  std::string Digest(Session& session) {
    EXPECT_TRUE(session.Commit("{}").has_value());
    const auto digest = SessionDigest(engine_->catalog(), session.record(), "");
    EXPECT_TRUE(digest.has_value());
    return digest.has_value() ? digest.value() : "";
  }

  Problem problem_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(SessionStepTest, StepsHaveLimits) {
  auto session = Make("s", Options());
  EXPECT_ERROR(session->BeginStep(0), Errc::kInvalidArgument, "a step of 0 rows");
  EXPECT_ERROR(session->BeginStep(-1), Errc::kInvalidArgument, "a step of -1 rows");
  EXPECT_ERROR(session->BeginStep(11), Errc::kInvalidArgument, "takes 1 to 10");
  Trace trace(problem_);
  ASSERT_GOOD(RunSteps(*session, problem_, 200, 10, &trace));
  EXPECT_EQ(session->rows(), 200);
  EXPECT_EQ(session->tokens(), 200);
  EXPECT_EQ(session->committed_tokens(), 0);
}

// The least context that options are allowed to have is enough for every step they allow.
TEST_P(SessionStepTest, AllowedStepsStayWithinTheContext) {
  SessionOptions options = Options();
  SessionShape shape = problem_.shape;
  shape.context_rows = LeastContext();
  auto session = engine_->CreateSession("s", shape, options, "{}");
  ASSERT_GOOD(session);
  Trace trace(problem_);
  for (int32_t step = 1; session.value()->rows() < 180; step = step % 10 + 1) {
    ASSERT_GOOD(RunStep(*session.value(), problem_, step, &trace));
  }
  shape.context_rows -= 1;
  EXPECT_ERROR(engine_->CreateSession("t", shape, options, "{}"), Errc::kInvalidArgument, "lower");
}

// More retrieval with shorter steps may be asked for later; steps of the old length do not fit
// then.
TEST_P(SessionStepTest, AStepPastTheContextIsRefused) {
  SessionShape shape = problem_.shape;
  shape.context_rows = LeastContext();
  auto opened = engine_->CreateSession("s", shape, Options(), "{}");
  ASSERT_GOOD(opened);
  Session& session = *opened.value();
  Trace trace(problem_);
  ASSERT_GOOD(RunSteps(session, problem_, 103, 10, &trace));  // a tail of three rows
  SessionOptions options = Options();
  options.retrieve += 1;
  options.max_step_rows -= 4;
  ASSERT_GOOD(session.SetOptions(options));
  EXPECT_ERROR(session.BeginStep(10), Errc::kInvalidArgument,
               "past the " + std::to_string(shape.context_rows));
  EXPECT_EQ(session.rows(), 103);
  ASSERT_GOOD(RunStep(session, problem_, 6, &trace));
}

TEST_P(SessionStepTest, AbortedStepsLeaveNothing) {
  Trace plain(problem_), disturbed(problem_);
  auto one = Make("one", Options());
  ASSERT_GOOD(RunSteps(*one, problem_, 100, 9, &plain));
  auto two = Make("two", Options());
  const Problem other(problem_.shape, 200, 72);
  std::vector<float> o(static_cast<size_t>(10 * problem_.q_width()));
  while (two->rows() < 100) {
    const int64_t before = two->rows();
    for (const int32_t layers : {0, 1, 2}) {  // after none, some and all layers
      ASSERT_GOOD(two->BeginStep(10));
      for (int32_t layer = 0; layer < layers; ++layer) {
        ASSERT_GOOD(two->Attend(layer, other.Q(layer, 50), other.K(layer, 50), other.V(layer, 50),
                                o.data()));
      }
      two->AbortStep();
      ASSERT_EQ(two->rows(), before);
    }
    const auto rows = static_cast<int32_t>(std::min<int64_t>(9, 100 - before));
    ASSERT_GOOD(RunStep(*two, problem_, rows, &disturbed));
  }
  EXPECT_TRUE(plain.o == disturbed.o);
  EXPECT_EQ(Digest(*one), Digest(*two));
}

// The index refuses keys that are not numbers when a step ends: the step can still be aborted.
TEST_P(SessionStepTest, AStepOfNaNKeysIsRefusedAndUndone) {
  Trace plain(problem_), disturbed(problem_);
  auto one = Make("one", Options());
  ASSERT_GOOD(RunSteps(*one, problem_, 100, 10, &plain));
  auto two = Make("two", Options());
  ASSERT_GOOD(RunSteps(*two, problem_, 50, 10, &disturbed));
  Problem bad = problem_;
  const int64_t last_layer = problem_.rows * problem_.kv_width();
  for (int64_t i = 50 * problem_.kv_width(); i < 60 * problem_.kv_width(); ++i) {
    bad.k[static_cast<size_t>(last_layer + i)] = std::numeric_limits<float>::quiet_NaN();
  }
  Trace ignored(problem_);
  for (int i = 0; i < 2; ++i) {
    EXPECT_ERROR(RunStep(*two, bad, 10, &ignored), Errc::kInvalidArgument, "NaN");
    EXPECT_EQ(two->rows(), 50);
  }
  ASSERT_GOOD(RunSteps(*two, problem_, 100, 10, &disturbed));
  EXPECT_TRUE(plain.o == disturbed.o);
  EXPECT_EQ(Digest(*one), Digest(*two));
}

TEST_P(SessionStepTest, LayersMayComeInAnyOrder) {
  Trace forward(problem_);
  auto one = Make("one", Options());
  ASSERT_GOOD(RunSteps(*one, problem_, 50, 10, &forward));
  auto two = Make("two", Options());
  std::vector<float> o(static_cast<size_t>(10 * problem_.q_width()));
  for (int64_t first = 0; first < 50; first += 10) {
    ASSERT_GOOD(two->BeginStep(10));
    for (const int32_t layer : {1, 0}) {
      ASSERT_GOOD(two->Attend(layer, problem_.Q(layer, first), problem_.K(layer, first),
                              problem_.V(layer, first), o.data()));
      const float* expected =
          forward.o.data() + (layer * problem_.rows + first) * problem_.q_width();
      EXPECT_TRUE(std::equal(o.begin(), o.end(), expected)) << "layer " << layer;
    }
    ASSERT_GOOD(two->EndStep());
  }
}

TEST_P(SessionStepTest, OptionsChangeFromTheNextStepOn) {
  auto session = Make("s", Options());
  Trace trace(problem_);
  ASSERT_GOOD(RunSteps(*session, problem_, 100, 10, &trace));
  EXPECT_EQ(session->last_choice().k, 2);
  EXPECT_EQ(session->last_choice().groups, 1);
  SessionOptions options = Options();
  options.retrieve = 5;
  options.selection = Selection::kPerToken;
  options.max_step_rows = 5;
  ASSERT_GOOD(session->SetOptions(options));
  ASSERT_GOOD(RunStep(*session, problem_, 10, &trace));  // still takes what it was opened for
  EXPECT_EQ(session->last_choice().k, 5);
  EXPECT_EQ(session->last_choice().groups, 10);
  options.max_step_rows = 11;
  EXPECT_ERROR(session->SetOptions(options), Errc::kInvalidArgument, "opened for 10");
  options = Options();
  options.retrieve = -1;
  EXPECT_ERROR(session->SetOptions(options), Errc::kInvalidArgument, "-1");
  EXPECT_EQ(session->options().retrieve, 5);
}

INSTANTIATE_TEST_SUITE_P(Modes, SessionStepTest,
                         testing::Values(AttentionMode::kLandmark, AttentionMode::kUnmodified),
                         [](const auto& info) {
                           return std::string(AttentionModeName(info.param));
                         });

}  // namespace
}  // namespace cairn
