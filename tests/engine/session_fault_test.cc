// A cold store that fails once, at its first, second, third ... operation: after every error the
// session as committed is intact, and going on gives what a run without faults gives.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "engine/engine.h"
#include "engine/payload_chain.h"
#include "engine/stored_shape.h"
#include "storage/faulty_cold_store.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

using test::Problem;
using test::Trace;

constexpr int64_t kBase = 1300, kRows = 1400, kCommitEvery = 50;
constexpr int32_t kChunk = 25;

/// What to do after an error.
enum class Remedy { kRetry, kRevert, kReopen };

class SessionFaultTest : public testing::TestWithParam<std::tuple<AttentionMode, Remedy>> {
 protected:
  SessionFaultTest()
      : problem_(test::MakeShape(std::get<0>(GetParam()), 2, 4, 2, {4, 8, DType::kF16}), kRows, 91),
        expected_(problem_) {
    options_.retrieve = 3;
    options_.recent_tokens = 8;
    options_.max_step_rows = kChunk;
    // Little memory, so that blocks are written early and read again.
    host_bytes_ = test::LeastHostBytes(problem_.shape, options_);
  }

  /// A new engine over `store_`, as after a restart, and its session.
  void Open(bool create) {
    session_.reset();
    engine_.reset();
    auto faulty = std::make_unique<FaultyColdStore>(*store_);
    faulty_ = faulty.get();
    auto engine = Engine::Open(std::move(faulty), {.host_bytes = host_bytes_});
    ASSERT_GOOD(engine);
    engine_ = std::move(engine).value();
    auto session = create ? engine_->CreateSession("s", problem_.shape, options_, "{}")
                          : engine_->OpenSession("s", problem_.shape, options_);
    ASSERT_GOOD(session);
    session_ = std::move(session).value();
  }
  void OpenNew() {
    session_.reset();
    engine_.reset();
    store_ = std::make_unique<MemoryColdStore>();
    Open(true);
  }
  void OpenBase(Trace* trace) {
    OpenNew();
    ASSERT_GOOD(RunSteps(*session_, problem_, kBase, kChunk, trace));
    ASSERT_GOOD(session_->Commit("{}"));
  }

  /// The outputs of one more step on what the store holds now, read beside the engine in use.
  void Probe(int64_t* committed, std::vector<float>* o) {
    auto engine = Engine::Open(std::make_unique<FaultyColdStore>(*store_), {.read_only = true});
    ASSERT_GOOD(engine);
    auto session = engine.value()->OpenSession("s", problem_.shape, options_);
    ASSERT_GOOD(session);
    *committed = session.value()->rows();
    o->clear();
    ASSERT_GOOD(session.value()->BeginStep(kChunk));
    for (int32_t layer = 0; layer < problem_.shape.layers; ++layer) {
      std::vector<float> part(static_cast<size_t>(kChunk * problem_.q_width()));
      ASSERT_GOOD(session.value()->Attend(layer, problem_.Q(layer, 0), problem_.K(layer, 0),
                                          problem_.V(layer, 0), part.data()));
      o->insert(o->end(), part.begin(), part.end());
    }
    session.value()->AbortStep();
  }

  /// Steps and commits to the end; calls `repair` after an error and goes on.
  void RunToEnd(Trace* trace, const std::function<void(bool in_commit)>& repair,
                int64_t commit_every = kCommitEvery) {
    while (session_->committed_tokens() < kRows) {
      const bool commit =
          session_->rows() % commit_every == 0 && session_->rows() > session_->committed_tokens();
      const Status done =
          commit ? session_->Commit("{}") : RunStep(*session_, problem_, kChunk, trace);
      if (!done.has_value()) repair(commit);
      if (HasFatalFailure()) return;
    }
  }

  std::string Digest() {
    const auto digest = SessionDigest(engine_->catalog(), session_->record(), "");
    EXPECT_TRUE(digest.has_value());
    return digest.has_value() ? digest.value() : "";
  }

  Problem problem_;
  SessionOptions options_;
  uint64_t host_bytes_ = 0;
  Trace expected_;
  std::map<int64_t, std::vector<float>> probes_;  ///< by committed rows
  std::unique_ptr<MemoryColdStore> store_;
  FaultyColdStore* faulty_ = nullptr;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Session> session_;
};

TEST_P(SessionFaultTest, EveryOperationMayFailOnce) {
  OpenBase(&expected_);
  for (int64_t rows = kBase; rows <= kRows; rows += kCommitEvery) {
    int64_t committed = 0;
    std::vector<float> o;
    ASSERT_GOOD(RunSteps(*session_, problem_, rows, kChunk, &expected_));
    ASSERT_GOOD(session_->Commit("{}"));
    Probe(&committed, &o);
    ASSERT_EQ(committed, rows);
    probes_[rows] = o;
  }
  const std::string digest = Digest();
  const auto operations = faulty_->calls(ColdOperation::kReadBlocks);
  ASSERT_GT(operations, 0u) << "nothing is read again: the budget is too large";

  int faults = 0;
  for (uint64_t nth = 1;; ++nth) {
    SCOPED_TRACE(testing::Message() << "operation " << nth << " fails");
    Trace trace(problem_);
    OpenBase(&trace);
    if (HasFatalFailure()) return;
    faulty_->FailNth(ColdOperation::kAny, nth);
    int errors = 0;
    RunToEnd(&trace, [&](bool in_commit) {
      ASSERT_EQ(++errors, 1) << (in_commit ? "in a commit" : "in a step");
      const int64_t committed_before = session_->committed_tokens();
      int64_t committed = 0;
      std::vector<float> o;
      Probe(&committed, &o);
      ASSERT_EQ(committed, committed_before);
      ASSERT_TRUE(o == probes_[committed]) << "what was committed reads otherwise";
      if (std::get<1>(GetParam()) == Remedy::kRevert) ASSERT_GOOD(session_->Revert());
      if (std::get<1>(GetParam()) == Remedy::kReopen) Open(false);
    });
    if (HasFatalFailure()) return;
    const bool passed = faulty_->Armed();
    faulty_->Heal();
    ASSERT_EQ(session_->rows(), kRows);
    ASSERT_EQ(Digest(), digest);
    ASSERT_TRUE(trace.o == expected_.o);
    int64_t committed = 0;
    std::vector<float> o;
    Probe(&committed, &o);
    ASSERT_TRUE(o == probes_[kRows]);
    faults += errors;
    if (passed) break;
  }
  EXPECT_GT(faults, 5);
}

/// A disk that fails in a step or a commit, and still does when what came of it is to be dropped.
TEST_P(SessionFaultTest, WhatCannotBeDroppedIsDroppedLater) {
  OpenBase(&expected_);
  ASSERT_GOOD(RunSteps(*session_, problem_, kRows, kChunk, &expected_));
  ASSERT_GOOD(session_->Commit("{}"));
  const std::string digest = Digest();
  const uint64_t bytes = store_->Stats().payload_bytes;

  uint64_t drops = 0;
  for (const int64_t commit_every : {kCommitEvery, kRows}) {  // rarely: blocks are written in steps
    for (uint64_t nth = 1, errors = 1; errors > 0; ++nth) {
      SCOPED_TRACE(testing::Message() << "write " << nth << ", commits every " << commit_every);
      Trace trace(problem_);
      if (commit_every < kRows) {
        OpenBase(&trace);
      } else {
        OpenNew();
      }
      if (HasFatalFailure()) return;
      errors = 0;
      faulty_->FailNth(ColdOperation::kWriteBlocks, nth);
      faulty_->FailNth(ColdOperation::kDropExtent, 1);
      const auto repair = [&](bool) {
        ASSERT_EQ(++errors, 1u);
        const int64_t committed = session_->committed_tokens();
        if (std::get<1>(GetParam()) == Remedy::kRevert) {
          ASSERT_GOOD(session_->Revert());
          ASSERT_EQ(session_->tokens(), committed);
          ASSERT_EQ(session_->rows(), committed);
        }
        if (std::get<1>(GetParam()) == Remedy::kReopen) session_.reset();
        drops += faulty_->calls(ColdOperation::kDropExtent);
        if (session_ == nullptr) Open(false);
      };
      RunToEnd(&trace, repair, commit_every);
      if (HasFatalFailure()) return;
      ASSERT_EQ(Digest(), digest);
      ASSERT_TRUE(trace.o == expected_.o);
      ASSERT_EQ(store_->Stats().payload_bytes, bytes) << "of what was to be dropped";
    }
  }
  EXPECT_GT(drops, 0u) << "nothing had to be dropped";
}

/// Only the sync of a commit fails, and it proves durable: its blocks must be there, whatever the
/// session that met the error did next.
TEST_P(SessionFaultTest, ACommitThatIsFoundAfterAnErrorIsWhole) {
  OpenBase(&expected_);
  ASSERT_GOOD(RunSteps(*session_, problem_, kBase + kCommitEvery, kChunk, &expected_));
  ASSERT_GOOD(session_->Commit("{}"));
  int64_t committed = 0;
  std::vector<float> expected, o;
  Probe(&committed, &expected);
  const std::string digest = Digest();

  Trace trace(problem_);
  OpenBase(&trace);
  ASSERT_GOOD(RunSteps(*session_, problem_, kBase + kCommitEvery, kChunk, &trace));
  faulty_->FailAfterWriteMeta();
  EXPECT_ERROR(session_->Commit("{}"), Errc::kIo, "took effect");
  if (std::get<1>(GetParam()) == Remedy::kRevert) {
    ASSERT_GOOD(session_->Revert());
    EXPECT_EQ(session_->rows(), kBase);
    ASSERT_GOOD(RunSteps(*session_, problem_, kBase + kChunk, kChunk, &trace));
  }
  if (std::get<1>(GetParam()) != Remedy::kReopen) {
    EXPECT_ERROR(session_->Commit("{}"), Errc::kMismatch, "open it again");
    ASSERT_GOOD(RunSteps(*session_, problem_, kRows, kChunk, &trace));  // scratch, which goes
  }
  Open(false);
  if (HasFatalFailure()) return;
  Probe(&committed, &o);
  EXPECT_EQ(committed, kBase + kCommitEvery);
  EXPECT_TRUE(o == expected);
  EXPECT_EQ(Digest(), digest);
  const SessionRecord& record = session_->record();
  const auto stored = ParseStoredShape(record.properties);
  ASSERT_GOOD(stored);
  const auto chain = ReadChain(*store_, GridOf(problem_.shape), record.ranges,
                               [](uint64_t, uint64_t) -> Status { return Ok(); });
  ASSERT_GOOD(chain);
  EXPECT_EQ(chain.value(), stored.value().chain);
}

TEST_P(SessionFaultTest, AFullDiskStopsTheSessionWithoutHarm) {
  Trace trace(problem_);
  OpenBase(&trace);
  int64_t before = 0, after = 0;
  std::vector<float> o_before, o_after;
  Probe(&before, &o_before);
  faulty_->LimitSpace(0);
  Status done = RunSteps(*session_, problem_, kRows, kChunk, &trace);
  if (done.has_value()) done = session_->Commit("{}");
  EXPECT_ERROR(done, Errc::kOutOfSpace, "");
  EXPECT_EQ(session_->committed_tokens(), kBase);
  Probe(&after, &o_after);
  EXPECT_EQ(after, before);
  EXPECT_TRUE(o_before == o_after);
  faulty_->Heal();
  ASSERT_GOOD(RunSteps(*session_, problem_, kRows, kChunk, &trace));
  ASSERT_GOOD(session_->Commit("{}"));
}

INSTANTIATE_TEST_SUITE_P(
    All, SessionFaultTest,
    testing::Combine(testing::Values(AttentionMode::kLandmark, AttentionMode::kUnmodified),
                     testing::Values(Remedy::kRetry, Remedy::kRevert, Remedy::kReopen)));

}  // namespace
}  // namespace cairn
