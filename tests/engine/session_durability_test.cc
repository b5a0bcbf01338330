// Commit, close, reopen, revert: a session goes on as if nothing had happened.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "engine/engine.h"
#include "storage/rocks_cold_store.h"
#include "tests/engine/session_problem.h"
#include "tests/support/scratch_directory.h"

namespace cairn {
namespace {

using test::Problem;
using test::Trace;

struct DurabilityCase {
  AttentionMode mode;
  DType dtype;
  Selection selection;
};

class SessionDurabilityTest : public testing::TestWithParam<DurabilityCase> {
 protected:
  static constexpr int64_t kRows = 300;
  static constexpr int32_t kChunk = 11;

  SessionDurabilityTest() : problem_(Shape(), kRows, 81) {
    options_.retrieve = 3;
    options_.recent_tokens = 8;
    options_.max_step_rows = kChunk;
    options_.selection = GetParam().selection;
  }
  static SessionShape Shape() {
    SessionShape shape = test::MakeShape(GetParam().mode, 2, 4, 2, {4, 8, GetParam().dtype});
    if (shape.mode == AttentionMode::kUnmodified) shape.representatives = 2;
    return shape;
  }

  /// Opens the store of this test's directory, as a program started anew would.
  std::unique_ptr<Engine> OpenEngine() {
    auto cold = RocksColdStore::Open(directory_.File("store"),
                                     {.create = true, .read_threads = 2, .write_threads = 1});
    EXPECT_TRUE(cold.has_value()) << cold.error().message;
    auto engine = Engine::Open(std::move(cold).value(), {.host_bytes = 1 << 20});
    EXPECT_TRUE(engine.has_value()) << engine.error().message;
    return std::move(engine).value();
  }
  static std::string Digest(Engine& engine, const Session& session) {
    const auto digest = SessionDigest(engine.catalog(), session.record(), "more");
    EXPECT_TRUE(digest.has_value()) << digest.error().message;
    return digest.has_value() ? digest.value() : "";
  }
  /// The whole problem in one go, in memory; committed at the end.
  void RunUninterrupted(Trace* trace, std::string* digest) {
    auto engine = test::MemoryEngine();
    auto session = engine->CreateSession("whole", problem_.shape, options_, "{}");
    ASSERT_GOOD(session);
    ASSERT_GOOD(RunSteps(*session.value(), problem_, kRows, kChunk, trace));
    ASSERT_GOOD(session.value()->Commit("{}"));
    *digest = Digest(*engine, *session.value());
  }

  test::ScratchDirectory directory_;
  Problem problem_;
  SessionOptions options_;
};

TEST_P(SessionDurabilityTest, GoesOnAfterReopening) {
  Trace whole(problem_), parts(problem_);
  std::string expected;
  RunUninterrupted(&whole, &expected);
  {
    auto engine = OpenEngine();
    ASSERT_GOOD(engine->CreateSession("s", problem_.shape, options_, "begin"));
  }
  std::string digest;
  // Ends inside a block, at its end, within the first block, and twice without anything new.
  for (const int64_t end : {2, 11, 11, 44, 143, 143, 231, 300}) {
    auto engine = OpenEngine();
    auto opened = engine->OpenSession("s", problem_.shape, options_);
    ASSERT_GOOD(opened);
    Session& session = *opened.value();
    const int64_t before = session.rows();
    if (before == 2) ASSERT_GOOD(RunStep(session, problem_, 9, &parts));
    if (end == 2) {
      ASSERT_GOOD(RunStep(session, problem_, 2, &parts));
    } else {
      ASSERT_GOOD(RunSteps(session, problem_, end, kChunk, &parts));
    }
    ASSERT_GOOD(session.Commit(std::to_string(end)));
    EXPECT_EQ(session.committed_tokens(), end);
    EXPECT_EQ(session.properties(), std::to_string(end));
    digest = Digest(*engine, session);
    EXPECT_EQ(digest == expected, end == kRows);
    const auto tokens = engine->catalog().ReadTokens(session.record());
    ASSERT_GOOD(tokens);
    ASSERT_EQ(std::ssize(tokens.value()), end);
    for (int64_t i = 0; i < end; ++i) ASSERT_EQ(tokens.value()[i], static_cast<uint32_t>(i));
  }
  EXPECT_EQ(digest, expected);
  // The first eleven rows were cut otherwise, which moves their blocks; from there on all is equal.
  for (int32_t layer = 0; layer < 2; ++layer) {
    const int64_t begin = (layer * kRows + kChunk) * problem_.q_width();
    const int64_t end = (layer + 1) * kRows * problem_.q_width();
    EXPECT_TRUE(std::equal(whole.o.begin() + begin, whole.o.begin() + end, parts.o.begin() + begin))
        << "layer " << layer;
  }
}

TEST_P(SessionDurabilityTest, WhatWasNotCommittedIsGone) {
  Trace whole(problem_), parts(problem_);
  std::string expected;
  RunUninterrupted(&whole, &expected);
  {
    auto engine = OpenEngine();
    auto session = engine->CreateSession("s", problem_.shape, options_, "{}");
    ASSERT_GOOD(session);
    ASSERT_GOOD(RunSteps(*session.value(), problem_, 110, kChunk, &parts));
    ASSERT_GOOD(session.value()->Commit("kept"));
    const Problem other(problem_.shape, kRows, 82);
    Trace ignored(other);
    ASSERT_GOOD(RunSteps(*session.value(), other, 220, kChunk, &ignored));
  }
  auto engine = OpenEngine();
  auto session = engine->OpenSession("s", problem_.shape, options_);
  ASSERT_GOOD(session);
  EXPECT_EQ(session.value()->rows(), 110);
  EXPECT_EQ(session.value()->tokens(), 110);
  EXPECT_EQ(session.value()->properties(), "kept");
  ASSERT_GOOD(RunSteps(*session.value(), problem_, kRows, kChunk, &parts));
  ASSERT_GOOD(session.value()->Commit("{}"));
  EXPECT_TRUE(parts.o == whole.o);
  EXPECT_EQ(Digest(*engine, *session.value()), expected);
}

TEST_P(SessionDurabilityTest, RevertReturnsToTheCommit) {
  Trace whole(problem_), parts(problem_);
  std::string expected;
  RunUninterrupted(&whole, &expected);
  const Problem other(problem_.shape, kRows, 83);
  auto engine = OpenEngine();
  auto opened = engine->CreateSession("s", problem_.shape, options_, "start");
  ASSERT_GOOD(opened);
  Session& session = *opened.value();
  for (const int64_t commit : {0, 33, 110, 198}) {
    if (commit > 0) {
      ASSERT_GOOD(RunSteps(session, problem_, commit, kChunk, &parts));
      ASSERT_GOOD(session.Commit("kept"));
    }
    const std::string at_commit = Digest(*engine, session);
    for (const int64_t more : {1, 5, 60}) {
      Trace ignored(other);
      ASSERT_GOOD(RunSteps(session, other, commit + more, kChunk, &ignored));
      if (more == 5) ASSERT_GOOD(session.BeginStep(3));  // a revert ends an open step, too
      ASSERT_GOOD(session.Revert());
      EXPECT_EQ(session.rows(), commit);
      EXPECT_EQ(session.tokens(), commit);
      EXPECT_EQ(session.properties(), commit == 0 ? "start" : "kept");
    }
    EXPECT_EQ(Digest(*engine, session), at_commit);
  }
  ASSERT_GOOD(RunSteps(session, problem_, kRows, kChunk, &parts));
  ASSERT_GOOD(session.Commit("{}"));
  EXPECT_TRUE(parts.o == whole.o);
  EXPECT_EQ(Digest(*engine, session), expected);
}

TEST_P(SessionDurabilityTest, DigestsTellContentsApart) {
  auto engine = test::MemoryEngine();
  const auto digest_of = [&](const char* name, const Problem& problem, int64_t rows) {
    auto session = engine->CreateSession(name, problem.shape, options_, "{}");
    EXPECT_TRUE(session.has_value());
    Trace trace(problem);
    EXPECT_TRUE(RunSteps(*session.value(), problem, rows, kChunk, &trace).has_value());
    EXPECT_TRUE(session.value()->Commit("{}").has_value());
    return Digest(*engine, *session.value());
  };
  const std::string digest = digest_of("a", problem_, 50);
  EXPECT_EQ(digest_of("again", problem_, 50), digest);
  EXPECT_NE(digest_of("longer", problem_, 51), digest);
  Problem key = problem_, tail = problem_;
  key.k[5] += 1;
  tail.v[static_cast<size_t>(49 * problem_.kv_width())] += 1;
  EXPECT_NE(digest_of("key", key, 50), digest);
  EXPECT_NE(digest_of("tail", tail, 50), digest);
}

INSTANTIATE_TEST_SUITE_P(
    Modes, SessionDurabilityTest,
    testing::Values(DurabilityCase{AttentionMode::kLandmark, DType::kF32, Selection::kPerToken},
                    DurabilityCase{AttentionMode::kLandmark, DType::kF16, Selection::kPerChunk},
                    DurabilityCase{AttentionMode::kLandmark, DType::kQ8, Selection::kPerChunk},
                    DurabilityCase{AttentionMode::kUnmodified, DType::kQ8, Selection::kPerToken},
                    DurabilityCase{AttentionMode::kUnmodified, DType::kF16, Selection::kPerChunk}));

}  // namespace
}  // namespace cairn
