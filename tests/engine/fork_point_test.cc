// Forks of engine sessions: a fork is the session that read only so far, and both go on.
#include "engine/fork_point.h"

#include <gtest/gtest.h>

#include "engine/stored_shape.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

using test::Problem;

constexpr int64_t kRows = 160;
constexpr int32_t kChunk = 16;

constexpr auto kNoWatch = [](uint64_t, uint64_t) -> Status { return Ok(); };

class ForkPointTest : public testing::TestWithParam<AttentionMode> {
 protected:
  ForkPointTest()
      : problem_(test::MakeShape(GetParam(), 2, 4, 2, {4, 8, DType::kF16}), kRows, 17),
        engine_(test::MemoryEngine()) {
    options_.retrieve = 3;
    options_.recent_tokens = 8;
    options_.max_step_rows = kChunk;
  }
  std::unique_ptr<Session> Open(const std::string& name, bool create = false) {
    auto session = create ? engine_->CreateSession(name, problem_.shape, options_, "{}")
                          : engine_->OpenSession(name, problem_.shape, options_);
    EXPECT_TRUE(session.has_value()) << session.error().message;
    return session.has_value() ? std::move(session).value() : nullptr;
  }
  /// Goes on to `end`.
  void Read(Session& session, const Problem& problem, int64_t end) {
    ASSERT_GOOD(ReadSteps(session, problem, end, kChunk));
    ASSERT_GOOD(session.Commit("{}"));
  }
  std::string Digest(const std::string& name) {
    const auto record = engine_->catalog().Find(name);
    EXPECT_TRUE(record.has_value()) << name;
    const auto digest = SessionDigest(engine_->catalog(), record.value(), "");
    EXPECT_TRUE(digest.has_value()) << name;
    return digest.value();
  }
  void Fork(const std::string& source, const std::string& name, std::optional<int64_t> blocks) {
    const auto record = engine_->catalog().Find(source);
    ASSERT_GOOD(record);
    std::optional<ForkPoint> point;
    if (blocks.has_value()) {
      auto made = ForkPointBehind(engine_->cold(), record.value(), *blocks, "{}", kNoWatch);
      ASSERT_GOOD(made);
      point = std::move(made).value();
    }
    ASSERT_GOOD(engine_->catalog().Fork(record.value(), name, point));
  }

  Problem problem_;
  SessionOptions options_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(ForkPointTest, AForkIsTheSessionThatReadOnlySoFar) {
  Read(*Open("all", true), problem_, kRows - 2);
  const std::string all = Digest("all");
  Fork("all", "copy", std::nullopt);
  EXPECT_EQ(Digest("copy"), all);
  for (const int64_t rows : {0, 16, 64, 144}) {
    const std::string name = std::to_string(rows), read = fmt::format("read{}", rows);
    Read(*Open(read, true), problem_, rows);
    Fork("all", name, rows / problem_.shape.block.block_rows);
    EXPECT_EQ(Digest(name), Digest(read)) << rows;
    Read(*Open(name), problem_, kRows - 2);  // and reads the rest as the first did
    EXPECT_EQ(Digest(name), all) << rows;
  }
  EXPECT_EQ(Digest("all"), all);
}

TEST_P(ForkPointTest, AnOpenSessionAndItsForkGoOn) {
  const Problem other(problem_.shape, kRows, 18);
  auto source = Open("a", true);
  Read(*source, problem_, 70);
  Fork("a", "b", std::nullopt);
  const std::string digest = Digest("b");
  Read(*source, problem_, 110);
  EXPECT_EQ(Digest("b"), digest);
  Read(*Open("b"), other, 110);
  Read(*source, problem_, kRows);
  source.reset();
  const std::string a = Digest("a"), b = Digest("b");
  EXPECT_NE(a, b);
  Read(*Open("whole", true), problem_, 70);
  Read(*Open("whole"), problem_, 110);
  Read(*Open("whole"), problem_, kRows);
  EXPECT_EQ(Digest("whole"), a);
  ASSERT_GOOD(engine_->catalog().Delete("a"));
  EXPECT_EQ(Digest("b"), b);
  Read(*Open("b"), other, kRows);
}

TEST_P(ForkPointTest, RecordsThatDoNotAddUpAreRefused) {
  Read(*Open("a", true), problem_, 64);
  SessionRecord record = engine_->catalog().Find("a").value();
  EXPECT_EQ(TokensPerBlock(record).value(), problem_.shape.block_tokens());
  const int64_t blocks = 64 / problem_.shape.block.block_rows;
  record.ranges.back().count -= 1;
  EXPECT_ERROR(ForkPointBehind(engine_->cold(), record, blocks, "{}", kNoWatch), Errc::kCorruption,
               "64 rows but");
  ++record.tokens;
  EXPECT_ERROR(TokensPerBlock(record), Errc::kUnsupported, "'a' has");
}

TEST(StoredShapeTest, ShapesAreReadBack) {
  for (const AttentionMode mode : {AttentionMode::kLandmark, AttentionMode::kUnmodified}) {
    const SessionShape shape = test::MakeShape(mode, 3, 6, 2, {64, 16, DType::kBF16});
    const std::string text = DescribeShape(shape);
    const auto parsed = ParseShape(text);
    ASSERT_GOOD(parsed);
    EXPECT_EQ(DescribeShape(parsed.value()), text);
    EXPECT_EQ(GridOf(parsed.value()), GridOf(shape));
    EXPECT_EQ(parsed.value().block_tokens(), mode == AttentionMode::kLandmark ? 63 : 64);
    for (const std::string& other : {std::string(), std::string("{}"), std::string("[1]"),
                                     fmt::format(" {}", text), text.substr(0, text.size() - 1)}) {
      EXPECT_ERROR(ParseShape(other), Errc::kCorruption, "shape");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, ForkPointTest,
                         testing::Values(AttentionMode::kLandmark, AttentionMode::kUnmodified));

}  // namespace
}  // namespace cairn
