// Summaries made anew are those that were stored, bit for bit.
#include "engine/summary.h"

#include <gtest/gtest.h>

#include "engine/stored_shape.h"
#include "storage/catalog_format.h"
#include "storage/faulty_cold_store.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

using test::Problem;

constexpr int64_t kRows = 90;
constexpr auto kNoWatch = [](uint64_t, uint64_t) -> Status { return Ok(); };

class SummaryTest : public testing::TestWithParam<std::pair<AttentionMode, DType>> {
 protected:
  SummaryTest()
      : problem_(test::MakeShape(GetParam().first, 2, 4, 2, {4, 8, GetParam().second}), kRows, 29) {
    if (GetParam().first == AttentionMode::kUnmodified) problem_.shape.representatives = 2;
    options_.retrieve = 3;
    options_.recent_tokens = 8;
    options_.max_step_rows = 16;
  }
  void SetUp() override {
    auto faulty = std::make_unique<FaultyColdStore>(store_);
    cold_ = faulty.get();
    auto engine = Engine::Open(std::move(faulty), {.host_bytes = 8 << 20});
    ASSERT_GOOD(engine);
    engine_ = std::move(engine).value();
    {
      auto session = engine_->CreateSession("s", problem_.shape, options_, "{}");
      ASSERT_GOOD(session);
      test::Trace ignored(problem_);
      for (const int64_t end : {int64_t{40}, kRows}) {
        ASSERT_GOOD(RunSteps(*session.value(), problem_, end, 16, &ignored));
        ASSERT_GOOD(session.value()->Commit("{}"));
      }
    }
    record_ = engine_->catalog().Find("s").value();
    before_ = Summaries();
  }
  /// All summaries of the session, layer after layer.
  std::string Summaries() {
    std::string bytes;
    for (uint16_t layer = 0; layer < problem_.shape.layers; ++layer) {
      const auto sections =
          engine_->catalog().ReadSections(record_, SummaryType(problem_.shape.mode), layer);
      if (!sections) return sections.error().message;
      for (const SummarySection& section : sections.value()) bytes += section.bytes;
    }
    return bytes;
  }
  Status Rebuild(RebuildWatch watch = kNoWatch) {
    return RebuildSummaries(engine_->cold(), engine_->catalog(), record_, {&record_, 1}, watch);
  }
  void FlipAll() {
    const MetaEntries entries = store_.ScanMeta("m/").value();
    for (auto [key, value] : entries) {
      value[value.size() / 2] = static_cast<char>(value[value.size() / 2] ^ 1);
      ASSERT_GOOD(store_.WriteMeta({.puts = {{key, value}}}));
    }
  }

  Problem problem_;
  SessionOptions options_;
  MemoryColdStore store_;
  FaultyColdStore* cold_ = nullptr;  // the engine's
  std::unique_ptr<Engine> engine_;
  SessionRecord record_;
  std::string before_;
};

TEST_P(SummaryTest, MadeAnewTheyAreWhatTheyWere) {
  ASSERT_FALSE(before_.empty());
  FlipAll();
  EXPECT_NE(Summaries(), before_);
  ASSERT_GOOD(Rebuild());
  EXPECT_EQ(Summaries(), before_);
  ASSERT_GOOD(store_.WriteMeta({.delete_prefixes = {"m/"}}));
  ASSERT_GOOD(Rebuild());
  EXPECT_EQ(Summaries(), before_);
  EXPECT_TRUE(engine_->OpenSession("s", problem_.shape, options_).has_value());
}

TEST_P(SummaryTest, BehindADamagedBlockThereAreNone) {
  FlipAll();
  const uint64_t extent = record_.ranges[0].extent;
  cold_->Damage({extent, 9, 1, 1});
  ASSERT_GOOD(Rebuild());
  SessionRecord whole = record_;
  whole.ranges = {{extent, 0, 9}};
  for (uint16_t layer = 0; layer < problem_.shape.layers; ++layer) {
    const auto sections =
        engine_->catalog().ReadSections(whole, SummaryType(problem_.shape.mode), layer);
    ASSERT_GOOD(sections);
    uint32_t count = 0;
    for (const SummarySection& section : sections.value()) count += section.count;
    EXPECT_EQ(count, 9u);
  }
}

TEST_P(SummaryTest, ABlockThatCannotBeReadIsAnErrorAndChangesNothing) {
  FlipAll();
  const MetaEntries entries = store_.ScanMeta("").value();
  cold_->Damage({record_.ranges[0].extent, 9, 1, 1}, Errc::kIo);
  EXPECT_ERROR(Rebuild(), Errc::kIo, "extent");
  EXPECT_EQ(store_.ScanMeta("").value(), entries);
}

TEST_P(SummaryTest, AStopChangesNothing) {
  FlipAll();
  const MetaEntries entries = store_.ScanMeta("").value();
  const auto stop = [](uint64_t, uint64_t) -> Status { return Fail(Errc::kInterrupted, "stop"); };
  EXPECT_ERROR(Rebuild(stop), Errc::kInterrupted, "stop");
  EXPECT_EQ(store_.ScanMeta("").value(), entries);
  cold_->FailNth(ColdOperation::kWriteMeta, 1);
  EXPECT_FALSE(Rebuild().has_value());
  EXPECT_EQ(store_.ScanMeta("").value(), entries);
}

INSTANTIATE_TEST_SUITE_P(Modes, SummaryTest,
                         testing::Values(std::pair(AttentionMode::kLandmark, DType::kF16),
                                         std::pair(AttentionMode::kLandmark, DType::kQ8),
                                         std::pair(AttentionMode::kUnmodified, DType::kQ8),
                                         std::pair(AttentionMode::kUnmodified, DType::kF16),
                                         std::pair(AttentionMode::kUnmodified, DType::kF32)));

}  // namespace
}  // namespace cairn
