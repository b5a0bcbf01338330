// A session opened as it was before its last commit: what is computed again takes the place of that
// commit in one step, and until then nothing has changed.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/fork_point.h"
#include "engine/stored_shape.h"
#include "storage/faulty_cold_store.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

using test::Problem;

constexpr int64_t kRows = 170;
constexpr int32_t kChunk = 16;
constexpr auto kNoWatch = [](uint64_t, uint64_t) -> Status { return Ok(); };

class SessionReplaceTest : public testing::TestWithParam<AttentionMode> {
 protected:
  SessionReplaceTest()
      : problem_(test::MakeShape(GetParam(), 2, 4, 2, {4, 8, DType::kF16}), kRows, 23) {
    options_.retrieve = 3;
    options_.recent_tokens = 8;
    options_.max_step_rows = kChunk;
  }
  void SetUp() override {
    auto faulty = std::make_unique<FaultyColdStore>(store_);
    faulty_ = faulty.get();
    auto engine = Engine::Open(std::move(faulty), {.host_bytes = 8 << 20});
    ASSERT_GOOD(engine);
    engine_ = std::move(engine).value();
    auto session = engine_->CreateSession("s", problem_.shape, options_, "{}");
    ASSERT_GOOD(session);
    for (const int64_t end : {int64_t{48}, int64_t{112}, kRows}) {
      Read(*session.value(), end);
      ASSERT_GOOD(session.value()->Commit("made"));
    }
    last_ = session.value()->record();
    digest_ = Digest();
  }
  /// Goes on to `end`.
  void Read(Session& session, int64_t end) {
    ASSERT_GOOD(ReadSteps(session, problem_, end, kChunk));
  }
  std::unique_ptr<Session> OpenAt(int64_t blocks) {
    const auto point = ForkPointBehind(engine_->cold(), last_, blocks, "cut", kNoWatch);
    EXPECT_TRUE(point.has_value()) << point.error().message;
    auto session = engine_->OpenSessionAt(last_, point.value(), problem_.shape, options_);
    EXPECT_TRUE(session.has_value()) << session.error().message;
    return session.has_value() ? std::move(session).value() : nullptr;
  }
  std::string Digest() {
    const auto record = engine_->catalog().Find("s");
    EXPECT_TRUE(record.has_value());
    const auto digest = SessionDigest(engine_->catalog(), record.value(), "");
    EXPECT_TRUE(digest.has_value());
    return digest.value();
  }
  /// All blocks of the session on disk are those that its chain says.
  void ExpectChain() {
    const auto record = engine_->catalog().Find("s");
    ASSERT_GOOD(record);
    const auto stored = ParseStoredShape(record.value().properties);
    ASSERT_GOOD(stored);
    const auto chain = ReadChain(*faulty_, GridOf(problem_.shape), record.value().ranges, kNoWatch);
    ASSERT_GOOD(chain);
    EXPECT_EQ(chain.value(), stored.value().chain);
  }

  Problem problem_;
  SessionOptions options_;
  MemoryColdStore store_;
  FaultyColdStore* faulty_ = nullptr;
  std::unique_ptr<Engine> engine_;
  SessionRecord last_;
  std::string digest_;
};

TEST_P(SessionReplaceTest, WhatIsComputedAgainIsTheSame) {
  // Behind the cut a block is damaged, and the tail, which are not looked at any more.
  const ExtentRange& range = last_.ranges.back();
  faulty_->Damage({range.extent, range.first + range.count - 1, 1, 0});
  for (const int64_t blocks : {20, 0, 28}) {  // where a step of the first reading ended
    auto session = OpenAt(blocks);
    ASSERT_NE(session, nullptr);
    EXPECT_EQ(session->rows(), blocks * 4);
    EXPECT_EQ(session->properties(), "cut");
    Read(*session, kRows);
    EXPECT_EQ(engine_->catalog().Find("s").value().commits, last_.commits);
    ASSERT_GOOD(session->Commit("made"));
    EXPECT_EQ(Digest(), digest_);
    ExpectChain();
    // It goes on as any session does.
    ASSERT_GOOD(session->Commit("made"));
    last_ = session->record();
    EXPECT_EQ(engine_->catalog().ReadTokens(last_).value().size(), last_.tokens);
    session.reset();
    ASSERT_GOOD(engine_->OpenSession("s", problem_.shape, options_));
  }
}

TEST_P(SessionReplaceTest, WithoutACommitNothingHasChanged) {
  for (const int64_t blocks : {3, 30}) {
    auto session = OpenAt(blocks);
    ASSERT_NE(session, nullptr);
    Read(*session, kRows - 5);
    session.reset();
    EXPECT_EQ(Digest(), digest_);
    ExpectChain();
  }
  auto session = OpenAt(7);
  ASSERT_NE(session, nullptr);
  Read(*session, kRows - 5);
  ASSERT_GOOD(session->Revert());  // to the place where it was opened
  EXPECT_EQ(session->rows(), 28);
  faulty_->FailNth(ColdOperation::kWriteMeta, 1);
  EXPECT_ERROR(session->Commit("made"), Errc::kIo, "");
  EXPECT_EQ(Digest(), digest_);
  ExpectChain();
  ASSERT_GOOD(session->Commit("shorter"));
  ExpectChain();
  EXPECT_EQ(engine_->catalog().Find("s").value().rows, 28u);
}

INSTANTIATE_TEST_SUITE_P(Modes, SessionReplaceTest,
                         testing::Values(AttentionMode::kLandmark, AttentionMode::kUnmodified));

}  // namespace
}  // namespace cairn
