// What a session tells an observer: the blocks it read, in truth, and how much of each.
#include "engine/step_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/engine.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

using test::Problem;
using test::Trace;

constexpr int32_t kBlockRows = 4;
constexpr int64_t kRead = 100;       // rows read before anything is observed
constexpr double kTolerance = 2e-3;  // of f16 values

SessionOptions Options() {
  SessionOptions options;
  options.retrieve = 2;
  options.recent_tokens = 8;
  options.max_step_rows = 10;
  options.selection = Selection::kPerToken;
  return options;
}

class StepLogTest : public testing::TestWithParam<AttentionMode> {
 protected:
  StepLogTest()
      : problem_(test::MakeShape(GetParam(), 2, 4, 2, {kBlockRows, 8, DType::kF16}), 140, 72),
        engine_(test::MemoryEngine()) {}

  std::unique_ptr<Session> Make(const char* name) {
    auto session = engine_->CreateSession(name, problem_.shape, Options(), "{}");
    EXPECT_TRUE(session.has_value()) << session.error().message;
    return session.has_value() ? std::move(session).value() : nullptr;
  }
  /// Values of one block are 1, all others 0: an output is then the share of that block.
  void MarkBlock(int64_t block) {
    const auto width = problem_.kv_width();
    for (int32_t layer = 0; layer < problem_.shape.layers; ++layer) {
      for (int64_t row = 0; row < problem_.rows; ++row) {
        const auto begin = problem_.v.begin() + (layer * problem_.rows + row) * width;
        std::fill(begin, begin + width, row / kBlockRows == block ? 1.0f : 0.0f);
      }
    }
  }

  Problem problem_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(StepLogTest, HoldsWhatWasChosenAndNothingOfRowsBefore) {
  auto session = Make("s");
  Trace trace(problem_);
  ASSERT_GOOD(RunSteps(*session, problem_, kRead, 10, &trace));
  StepLog log{.from_row = kRead + 4};
  session->Observe(&log);
  ASSERT_GOOD(RunStep(*session, problem_, 10, &trace));
  session->Observe(nullptr);
  const size_t before = log.heads.size();
  ASSERT_GOOD(RunStep(*session, problem_, 10, &trace));
  EXPECT_EQ(log.heads.size(), before) << "recorded after it was stopped";
  EXPECT_EQ(before, 6u * 2 * 2);  // rows, layers, KV heads
  EXPECT_EQ(log.layers.size(), 2u);
  for (const HeadLog& head : log.heads) {
    ASSERT_GE(head.row, log.from_row);
    const Choice& choice = trace.choices[10][static_cast<size_t>(head.layer)];
    const auto chosen = choice.Of(head.head, static_cast<int32_t>(head.row - kRead));
    std::vector<int64_t> found;
    double sum = head.local_share;
    for (const ReadBlock& read : log.Of(head)) {
      if (read.role == BlockRole::kChosen) {
        found.push_back(read.block);
        EXPECT_GE(read.log_weight, head.runner_up_log_weight);
      } else {
        EXPECT_TRUE(std::isnan(read.log_weight));
      }
      EXPECT_EQ(read.tier, StoreTier::kHost);
      EXPECT_LE(read.share, read.top_share + 1e-6f);
      sum += read.share;
    }
    EXPECT_EQ(found, std::vector<int64_t>(chosen.begin(), chosen.end()));
    EXPECT_EQ(std::ranges::count(found, head.runner_up), 0);
    EXPECT_GE(head.runner_up, 0);
    EXPECT_NEAR(sum, 1, 1e-4);
  }
}

TEST_P(StepLogTest, SharesAreWhatTheOutputIsMadeOf) {
  const int64_t marked = 0;  // always attended where nothing is chosen by landmarks
  MarkBlock(marked);
  auto session = Make("s");
  Trace trace(problem_);
  ASSERT_GOOD(RunSteps(*session, problem_, kRead, 10, &trace));
  StepLog log{.from_row = kRead};
  session->Observe(&log);
  ASSERT_GOOD(RunSteps(*session, problem_, problem_.rows, 10, &trace));
  int64_t attended = 0;
  for (const HeadLog& head : log.heads) {
    ReadBlock read{};
    for (const ReadBlock& candidate : log.Of(head)) {
      if (candidate.block == marked) read = candidate;
    }
    attended += read.share > 0 ? 1 : 0;
    const int32_t group = problem_.shape.group(), dim = problem_.shape.block.head_dim;
    const float* o = trace.o.data() + (head.layer * problem_.rows + head.row) * problem_.q_width() +
                     static_cast<int64_t>(head.head) * group * dim;
    double mean = 0, top = 0;
    for (int32_t g = 0; g < group; ++g) {
      mean += o[g * dim] / static_cast<double>(group);
      top = std::max<double>(top, o[g * dim]);
    }
    EXPECT_NEAR(read.share, mean, kTolerance);
    EXPECT_NEAR(read.top_share, top, kTolerance);
  }
  EXPECT_GT(attended, 0);
}

TEST_P(StepLogTest, ResultsStayTheSameBits) {
  auto plain = Make("plain");
  auto observed = Make("observed");
  Trace first(problem_), second(problem_);
  StepLog log;
  observed->Observe(&log);
  ASSERT_GOOD(RunSteps(*plain, problem_, problem_.rows, 10, &first));
  ASSERT_GOOD(RunSteps(*observed, problem_, problem_.rows, 10, &second));
  EXPECT_EQ(first.o, second.o);
  EXPECT_FALSE(log.heads.empty());
}

INSTANTIATE_TEST_SUITE_P(Modes, StepLogTest,
                         testing::Values(AttentionMode::kLandmark, AttentionMode::kUnmodified),
                         [](const auto& info) {
                           return std::string(AttentionModeName(info.param));
                         });

}  // namespace
}  // namespace cairn
