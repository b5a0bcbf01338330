// What certificates say is held against dense attention in double precision, over the same inputs
// and positions; targets are reached or the context is full.
#include "engine/certificate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/stored_shape.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

using test::Problem;
using test::RotateOracle;
using test::SeenByRow;
using test::SeenKey;
using test::Trace;

constexpr int32_t kBlockRows = 8;
constexpr int64_t kRows = 200;
constexpr int32_t kChunk = 6;

struct CertificateCase {
  AttentionMode mode;
  Selection selection;
  DType dtype;
};

SessionOptions Options(Selection selection) {
  SessionOptions options;
  options.retrieve = 3;
  options.recent_tokens = 12;
  options.max_step_rows = kChunk;
  options.selection = selection;
  return options;
}

/// Blocks that are always attended: sinks and recent ones.
std::pair<int64_t, int64_t> Fixed(const Problem& problem, const SessionOptions& options,
                                  int64_t first) {
  if (problem.shape.mode == AttentionMode::kLandmark) return {0, 0};
  const int64_t n = first / kBlockRows;
  const int64_t rows = std::max<int64_t>(0, options.recent_tokens - first % kBlockRows);
  const int64_t recent = std::min(n, (rows + kBlockRows - 1) / kBlockRows);
  return {std::min<int64_t>(options.sinks, n - recent), recent};
}

/// Blocks that a step has slots for, beside the empty one of landmark mode.
int64_t RoomOf(const Problem& problem, const SessionOptions& options, int64_t first) {
  const int64_t rows = first % kBlockRows + std::min<int64_t>(kChunk, problem.rows - first);
  const auto [sinks, recent] = Fixed(problem, options, first);
  const int64_t empty = problem.shape.mode == AttentionMode::kLandmark ? 1 : 0;
  return (problem.shape.context_rows - rows) / kBlockRows - sinks - recent - empty;
}

/// Candidates of a step that begins at row `first`, but for `chosen`: where they are scored.
std::vector<SeenKey> Unread(const Problem& problem, const SessionOptions& options,
                            std::span<const int64_t> chosen, int64_t first) {
  const SessionShape& shape = problem.shape;
  const int64_t n = first / kBlockRows;
  const int64_t placed = std::min(std::ssize(chosen), RoomOf(problem, options, first));
  std::vector<SeenKey> keys;
  const auto [begin, recent] = Fixed(problem, options, first);
  const int64_t end = n - recent;
  for (int64_t block = begin; block < end; ++block) {
    if (std::ranges::count(chosen, block) > 0) continue;
    const int64_t near = shape.mode == AttentionMode::kLandmark ? block - (n - placed) + 1 : 0;
    AddBlockKeys(shape, block, near > 0 ? near : begin, &keys);
  }
  return keys;
}

/// The shares of the first softmax that unread blocks have beside what was read.
struct Missed {
  double all = 0;
  std::map<int64_t, double> blocks;
};

/// The last key that was seen is the row's own.
Missed MissedOracle(const Problem& problem, int32_t layer, int32_t query_head,
                    const std::vector<SeenKey>& seen, const std::vector<SeenKey>& unread) {
  const SessionShape& shape = problem.shape;
  const int32_t dim = shape.block.head_dim;
  const auto q = RotateOracle(shape, problem.Q(layer, seen.back().row) + query_head * dim,
                              seen.back().position);
  const auto weight = [&](const SeenKey& key) {
    const int64_t head = query_head / shape.group();
    const auto k = RotateOracle(shape, problem.K(layer, key.row) + head * dim, key.position);
    double score = 0;
    for (int32_t c = 0; c < dim; ++c) score += q[c] * k[c];
    return std::exp(score / std::sqrt(dim));
  };
  const bool landmarks = shape.mode == AttentionMode::kLandmark;
  size_t own = 0;
  for (size_t i = 0; i + 1 < seen.size(); ++i) {
    if (problem.IsLandmark(seen[i].row)) own = i + 1;
  }
  double sum = 0;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (!landmarks || problem.IsLandmark(seen[i].row) == (i < own)) sum += weight(seen[i]);
  }
  Missed missed;
  for (const SeenKey& key : unread) {
    if (landmarks && !problem.IsLandmark(key.row)) continue;
    const double one = weight(key);
    missed.blocks[key.row / kBlockRows] += one;
    missed.all += one;
    sum += one;
  }
  missed.all /= sum;
  for (auto& [block, share] : missed.blocks) share /= sum;
  return missed;
}

class CertificateTest : public testing::TestWithParam<CertificateCase> {
 protected:
  CertificateTest()
      : problem_(test::MakeShape(GetParam().mode, 2, 4, 2, {kBlockRows, 8, GetParam().dtype}),
                 kRows, 91),
        engine_(test::MemoryEngine()) {}

  std::unique_ptr<Session> Make(const char* name, const SessionOptions& options) {
    auto session = engine_->CreateSession(name, problem_.shape, options, "{}");
    EXPECT_TRUE(session.has_value()) << session.error().message;
    return session.has_value() ? std::move(session).value() : nullptr;
  }
  double Truth(const Trace& trace, const SessionOptions& options, const MissedMass& missed) const {
    return Oracle(trace, options, missed.row, missed.layer, missed.head).all;
  }
  Missed Oracle(const Trace& trace, const SessionOptions& options, int64_t row, int32_t layer,
                int32_t head) const {
    const int64_t first = row / kChunk * kChunk;
    const Choice& choice =
        trace.choices[static_cast<size_t>(row / kChunk)][static_cast<size_t>(layer)];
    const auto chosen = choice.Of(head / problem_.shape.group(),
                                  choice.groups == 1 ? 0 : static_cast<int32_t>(row - first));
    return MissedOracle(
        problem_, layer, head,
        SeenByRow(problem_.shape, options, chosen, first, row, RoomOf(problem_, options, first)),
        Unread(problem_, options, chosen, first));
  }
  /// Outputs are attention over what was chosen, at the positions that the plan gives it.
  void ExpectOutputs(const Trace& trace, const SessionOptions& options) const {
    const int32_t dim = problem_.shape.block.head_dim;
    double error = 0;
    for (int32_t layer = 0; layer < problem_.shape.layers; ++layer) {
      for (int64_t row = 0; row < kRows; ++row) {
        const int64_t first = row / kChunk * kChunk;
        const Choice& choice =
            trace.choices[static_cast<size_t>(row / kChunk)][static_cast<size_t>(layer)];
        for (int32_t head = 0; head < problem_.shape.query_heads; ++head) {
          const auto chosen = choice.Of(head / problem_.shape.group(),
                                        choice.groups == 1 ? 0 : static_cast<int32_t>(row - first));
          const auto keys = SeenByRow(problem_.shape, options, chosen, first, row,
                                      RoomOf(problem_, options, first));
          const auto o = AttendRowOracle(problem_, layer, head, keys);
          const int64_t at = (layer * kRows + row) * problem_.q_width() + head * dim;
          for (int32_t c = 0; c < dim; ++c) {
            error = std::max(error, std::abs(trace.o[static_cast<size_t>(at + c)] - o[c]));
          }
        }
      }
    }
    EXPECT_LT(error, GetParam().dtype == DType::kF32 ? 2e-5 : 2e-2);
  }
  /// Of what the payloads' type rounds away, in shares.
  static double Tolerance() { return GetParam().dtype == DType::kF32 ? 1e-5 : 3e-3; }

  Problem problem_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(CertificateTest, HoldsAgainstDenseAttention) {
  const SessionOptions options = Options(GetParam().selection);
  auto session = Make("s", options);
  Trace trace(problem_);
  MassLog log{.from_row = 50, .audit = true};
  session->Certify(&log);
  ASSERT_GOOD(RunSteps(*session, problem_, kRows, kChunk, &trace));
  EXPECT_EQ(log.heads.size(), size_t{kRows - 50} * 2 * 4);  // rows, layers, query heads
  const bool landmarks = GetParam().mode == AttentionMode::kLandmark;
  int64_t missing = 0;
  double error = 0, slack = 0;
  for (const MissedMass& missed : log.heads) {
    const double truth = Truth(trace, options, missed);
    ASSERT_GE(missed.bound, truth - Tolerance()) << "row " << missed.row;
    ASSERT_NEAR(missed.truth, truth, Tolerance());
    ASSERT_LE(missed.estimate, missed.bound);
    if (landmarks) {
      ASSERT_NEAR(missed.bound, truth, Tolerance() + 1e-3);
    }
    error += std::abs(missed.estimate - truth);
    slack += missed.bound - truth;
    missing += truth > 0.05 ? 1 : 0;
  }
  const auto count = static_cast<double>(log.heads.size());
  EXPECT_GT(missing, std::ssize(log.heads) / 2) << "there was nothing to miss";
  EXPECT_LT(error / count, landmarks ? Tolerance() : 0.02);
  EXPECT_LT(slack / count, landmarks ? Tolerance() + 1e-3 : 0.25);
}

TEST_P(CertificateTest, ResultsStayTheSameBits) {
  const SessionOptions options = Options(GetParam().selection);
  auto plain = Make("plain", options);
  auto certified = Make("certified", options);
  Trace first(problem_), second(problem_);
  MassLog log;
  certified->Certify(&log);
  ASSERT_GOOD(RunSteps(*plain, problem_, kRows, kChunk, &first));
  ASSERT_GOOD(RunSteps(*certified, problem_, kRows, kChunk, &second));
  EXPECT_EQ(first.o, second.o);
}

/// What is known of blocks is the same whenever it was found out.
TEST_P(CertificateTest, BeginsAtAnyTimeAndFollowsAReturn) {
  const SessionOptions options = Options(GetParam().selection);
  Trace trace(problem_);
  const auto certify = [&](Session& session) {
    MassLog log;
    session.Certify(&log);
    EXPECT_TRUE(RunSteps(session, problem_, kRows, kChunk, &trace).has_value());
    session.Certify(nullptr);
    std::vector<float> found;
    for (const MissedMass& missed : log.heads) {
      found.push_back(missed.bound);
      found.push_back(missed.estimate);
    }
    return found;
  };
  auto session = Make("s", options);
  ASSERT_GOOD(RunSteps(*session, problem_, 60, kChunk, &trace));
  ASSERT_GOOD(session->Commit("{}"));
  ASSERT_GOOD(RunSteps(*session, problem_, 102, kChunk, &trace));
  const auto late = certify(*session);
  ASSERT_GOOD(session->Revert());
  MassLog early;
  session->Certify(&early);
  ASSERT_GOOD(RunSteps(*session, problem_, 102, kChunk, &trace));
  EXPECT_EQ(certify(*session), late) << "after a return to the commit";
  session.reset();
  auto opened = engine_->OpenSession("s", problem_.shape, options);
  ASSERT_GOOD(opened);
  ASSERT_GOOD(RunSteps(*opened.value(), problem_, 102, kChunk, &trace));
  EXPECT_EQ(certify(*opened.value()), late) << "after opening";
}

/// Sketches that are stored serve as those made from blocks do, also if only some were stored.
TEST_P(CertificateTest, SketchesAreStoredWhereWanted) {
  SessionOptions options = Options(GetParam().selection);
  const uint16_t type = KeyBoundType(AttentionMode::kUnmodified);
  const bool landmarks = GetParam().mode == AttentionMode::kLandmark;
  std::vector<std::vector<float>> found;
  for (const bool keeps : {false, true}) {
    const std::string name = keeps ? "kept" : "plain";
    auto session = Make(name.c_str(), options);
    Trace trace(problem_);
    ASSERT_GOOD(RunSteps(*session, problem_, 60, kChunk, &trace));
    ASSERT_GOOD(session->Commit("{}"));
    options.keep_sketches = keeps;
    ASSERT_GOOD(session->SetOptions(options));
    ASSERT_GOOD(RunSteps(*session, problem_, 120, kChunk, &trace));
    ASSERT_GOOD(session->Commit("{}"));
    const auto sections = engine_->catalog().ReadSections(session->record(), type, 1);
    ASSERT_GOOD(sections);
    ASSERT_EQ(sections.value().size(), keeps && !landmarks ? 1u : 0u);
    if (keeps && !landmarks) {
      EXPECT_EQ(sections.value()[0].count, 120 / kBlockRows - 60 / kBlockRows);
    }
    session.reset();
    auto opened = engine_->OpenSession(name, problem_.shape, Options(GetParam().selection));
    ASSERT_GOOD(opened);
    MassLog log;
    opened.value()->Certify(&log);
    ASSERT_GOOD(RunSteps(*opened.value(), problem_, 150, kChunk, &trace));
    found.emplace_back();
    for (const MissedMass& missed : log.heads) found.back().push_back(missed.bound);
  }
  EXPECT_EQ(found[0], found[1]);
}

/// Also where there are not slots enough: then the oldest chosen stand together.
TEST_P(CertificateTest, ReachesItsTarget) {
  for (const MassBy by : {MassBy::kBound, MassBy::kEstimate}) {
    SessionOptions options = Options(GetParam().selection);
    options.mass_target = 0.8f;
    options.mass_by = by;
    for (const int32_t context : {4096, 100}) {
      SCOPED_TRACE(testing::Message() << "context " << context);
      problem_.shape.context_rows = context;
      const std::string name = std::string(by == MassBy::kBound ? "b" : "e");
      auto session = Make((name + std::to_string(context)).c_str(), options);
      Trace trace(problem_);
      MassLog log;
      StepLog steps;
      session->Certify(&log);
      session->Observe(&steps);
      ASSERT_GOOD(RunSteps(*session, problem_, kRows, kChunk, &trace));
      std::set<std::tuple<int64_t, int32_t, int32_t>> places;
      for (const HeadLog& head : steps.heads) places.insert({head.row, head.layer, head.head});
      EXPECT_EQ(places.size(), steps.heads.size()) << "a layer was recorded twice";
      int64_t more = 0, crowded = 0;
      for (const MissedMass& missed : log.heads) {
        const double truth = Truth(trace, options, missed);
        ASSERT_GE(missed.bound, truth - Tolerance());
        ASSERT_LE(by == MassBy::kBound ? missed.bound : missed.estimate, 0.2f);
        more += missed.chosen > 3 ? 1 : 0;
        crowded += missed.chosen > RoomOf(problem_, options, missed.row / kChunk * kChunk) ? 1 : 0;
      }
      EXPECT_GT(more, 0);
      EXPECT_EQ(crowded > 0, context == 100);
      ExpectOutputs(trace, options);
    }
  }
}

// Steps of many rows, whose attention may be of numbers rounded to bf16. Keys are such as f16 holds
// and bf16 does not, and nothing is rotated, so the oracle sees what is stored.
TEST(CertificateOfManyRows, HoldsAndChangesNothing) {
  constexpr int64_t kManyRows = 60, kBegin = 180;
  for (const float times : {1.0f, 8.0f}) {
    SessionShape shape =
        test::MakeShape(AttentionMode::kLandmark, 2, 4, 2, {kBlockRows, 64, DType::kF16});
    std::ranges::fill(shape.inverse_frequencies, 1e-30);
    Problem problem(shape, kBegin + kManyRows, 94);
    for (float& key : problem.k) key = std::round(std::clamp(key, -3.0f, 3.0f) * 256) / 256;
    for (float& query : problem.q) query *= times;
    SessionOptions options = Options(Selection::kPerToken);
    options.max_step_rows = kManyRows;
    const auto engine = test::MemoryEngine();
    const auto run = [&](const std::string& name, float target, MassLog* log) {
      options.mass_target = target;
      Trace trace(problem);
      auto session = engine->CreateSession(name, shape, options, "{}");
      EXPECT_TRUE(session.has_value()) << session.error().message;
      session.value()->Certify(log);
      EXPECT_TRUE(RunSteps(*session.value(), problem, problem.rows, kManyRows, &trace).has_value());
      return trace;
    };
    MassLog log{.from_row = kBegin + 5, .audit = true};
    const Trace trace = run("certified", 0, &log);
    EXPECT_TRUE(run("plain", 0, nullptr).o == trace.o);
    ASSERT_EQ(log.heads.size(), size_t{kManyRows - 5} * 2 * 4);
    int64_t missing = 0;
    for (const MissedMass& missed : log.heads) {
      const Choice& choice = trace.choices.back()[static_cast<size_t>(missed.layer)];
      const auto chosen =
          choice.Of(missed.head / shape.group(), static_cast<int32_t>(missed.row - kBegin));
      const double truth = MissedOracle(problem, missed.layer, missed.head,
                                        SeenByRow(shape, options, chosen, kBegin, missed.row),
                                        Unread(problem, options, chosen, kBegin))
                               .all;
      ASSERT_GE(missed.bound, truth * (1 - 1e-6)) << missed.row;
      ASSERT_LE(missed.bound, truth * (1 + 2e-3) + 1e-7) << missed.row;
      ASSERT_NEAR(missed.truth, truth, 5e-4 * truth + 1e-7) << missed.row;
      missing += truth > 0.01 ? 1 : 0;
    }
    EXPECT_GT(missing, std::ssize(log.heads) / 20) << "there was nothing to miss";
    MassLog aimed;
    EXPECT_TRUE(run("logged", 0.7f, &aimed).o == run("unlogged", 0.7f, nullptr).o);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Modes, CertificateTest,
    testing::Values(CertificateCase{AttentionMode::kLandmark, Selection::kPerToken, DType::kF32},
                    CertificateCase{AttentionMode::kLandmark, Selection::kPerChunk, DType::kF16},
                    CertificateCase{AttentionMode::kUnmodified, Selection::kPerToken, DType::kF32},
                    CertificateCase{AttentionMode::kUnmodified, Selection::kPerChunk, DType::kF16},
                    CertificateCase{AttentionMode::kUnmodified, Selection::kPerTokenSharedHeads,
                                    DType::kF16}),
    [](const auto& info) {
      std::string name = std::string(AttentionModeName(info.param.mode)) +
                         std::string(SelectionName(info.param.selection));
      std::erase(name, '-');
      return name;
    });

}  // namespace
}  // namespace cairn
