// A past that nobody read: what its vectors are like, and that a session goes on from it.
#include "bench/random_past.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <set>
#include <vector>

#include "bench/aliased_cold_store.h"
#include "engine/stored_shape.h"
#include "engine/summary.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

using test::MakeShape;
using test::Problem;
using test::Trace;

constexpr uint32_t kDistinct = 3;

constexpr auto kNever = [](const std::string&) { return false; };

SessionShape ShapeOf(AttentionMode mode) {
  SessionShape shape = MakeShape(mode, 2, 4, 2, {8, 16, DType::kQ8});
  if (mode == AttentionMode::kUnmodified) shape.representatives = 2;
  return shape;
}

SessionOptions Options() {
  SessionOptions options;
  options.retrieve = 4;
  options.recent_tokens = 16;
  options.max_step_rows = 8;
  options.selection = Selection::kPerToken;
  return options;
}

class RandomPastTest : public testing::TestWithParam<AttentionMode> {};

TEST_P(RandomPastTest, EveryBlockHasVectorsOfItsOwnAsKeysWouldGiveThem) {
  const RandomPast past = {.shape = ShapeOf(GetParam()), .blocks = 2000};
  const size_t dim = 16, bytes = SummaryBytes(past.shape) / past.shape.kv_heads;
  const bool means = GetParam() == AttentionMode::kUnmodified;
  double sum = 0, squares = 0, count = 0;
  std::set<std::string> all;
  for (int32_t layer = 0; layer < past.shape.layers; ++layer) {
    const std::string packed = past.Summaries(layer, 0, past.blocks);
    ASSERT_EQ(packed.size(), past.blocks * SummaryBytes(past.shape));
    for (size_t at = 0; at < packed.size(); at += bytes) all.insert(packed.substr(at, bytes));
    std::vector<float> numbers(packed.size() / bytes * past.shape.representatives * dim);
    ConvertToFloat(SummaryDType(past.shape), packed.data(), numbers.data(), numbers.size());
    for (const float number : numbers) {
      sum += number;
      squares += static_cast<double>(number) * number;
      ++count;
    }
  }
  EXPECT_EQ(all.size(), static_cast<size_t>(past.blocks) * past.shape.partitions());
  const double deviation = std::sqrt(squares / count);
  EXPECT_NEAR(sum / count, 0, 0.02);
  EXPECT_NEAR(deviation, means ? 0.5 : 1, 0.01);  // of four keys
  EXPECT_EQ(past.Summaries(1, 0, 4) + past.Summaries(1, 4, 6), past.Summaries(1, 0, 10));
  RandomPast other = past;
  other.seed = 2;
  EXPECT_NE(other.Summaries(1, 0, 10), past.Summaries(1, 0, 10));
}

TEST(QuickNormalsTest, NumbersAreSpreadAsNormalOnes) {
  std::vector<float> numbers(100000);
  QuickNormals(3, 4).Fill(2, numbers);
  int within[3] = {};
  for (const float number : numbers) {
    for (int i = 0; i < 3; ++i) within[i] += std::fabs(number) < 2.0f * static_cast<float>(i + 1);
    EXPECT_LT(std::fabs(number), 7.0f);
  }
  EXPECT_NEAR(within[0] / 1e5, 0.683, 0.02);
  EXPECT_NEAR(within[1] / 1e5, 0.954, 0.01);
  EXPECT_NEAR(within[2] / 1e5, 0.997, 0.003);
}

// A session on `past`, whose payloads are shared or, `written`, each a block's own copy.
struct Opened {
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Session> session;
  std::byte* payload = nullptr;  // of a shared one: layer 1, head 0, block 2 of the distinct ones
};

Opened Open(const RandomPast& past, bool written, const SessionOptions& options) {
  const BlockGrid grid = GridOf(past.shape);
  Opened opened;
  auto cold = std::make_unique<AliasedColdStore>(grid);
  AliasedColdStore& store = *cold;
  const uint64_t host = test::LeastHostBytes(past.shape, options);  // so that blocks are read again
  opened.engine = Engine::Open(std::move(cold), {.host_bytes = host}).value();
  const uint64_t extent = opened.engine->catalog().NewExtent().value();
  if (written) {
    std::vector<std::byte> payload(grid.payload_bytes);
    for (uint32_t ordinal = 0; ordinal < past.blocks; ++ordinal) {
      for (uint16_t layer = 0; layer < grid.layers; ++layer) {
        for (uint16_t head = 0; head < grid.heads; ++head) {
          past.WritePayload({extent, ordinal % kDistinct, layer, head}, payload.data());
          const BlockRecord record = {{extent, ordinal, layer, head}, payload};
          EXPECT_TRUE(store.WriteBlocks({&record, 1}).has_value());
        }
      }
    }
  } else {
    store.Alias(extent, static_cast<uint32_t>(past.blocks), kDistinct,
                [&](const BlockId& id, std::byte* payload) {
                  past.WritePayload(id, payload);
                  if (id == BlockId{extent, 2, 1, 0}) opened.payload = payload;
                });
  }
  EXPECT_TRUE(past.Commit("s", extent, opened.engine->catalog(), kNever).has_value());
  opened.session = opened.engine->OpenSession("s", past.shape, options).value();
  return opened;
}

TEST_P(RandomPastTest, AnswersAreThoseOfASessionWhosePayloadsAreNotShared) {
  const RandomPast past = {.shape = ShapeOf(GetParam()), .blocks = 40};
  const Problem problem(past.shape, past.rows() + 20, 5);
  Trace traces[2] = {Trace(problem), Trace(problem)};
  for (const bool written : {false, true}) {
    const Opened opened = Open(past, written, Options());
    EXPECT_EQ(opened.session->rows(), past.rows());
    EXPECT_EQ(opened.session->tokens(), past.tokens());
    EXPECT_EQ(opened.session->ReadTokens().value().size(), static_cast<size_t>(past.tokens()));
    ASSERT_GOOD(RunSteps(*opened.session, problem, problem.rows, 4, &traces[written]));
    EXPECT_EQ(opened.session->record().ranges.size(), 1u);
    ASSERT_GOOD(opened.session->Commit("{}"));
  }
  EXPECT_EQ(traces[0].o, traces[1].o);
  std::set<int64_t> chosen;
  for (const auto& layers : traces[0].choices) {
    for (const Choice& choice : layers) {
      chosen.insert(choice.blocks.begin(), choice.blocks.end());
    }
  }
  EXPECT_GT(chosen.size(), 2 * kDistinct);
}

TEST_P(RandomPastTest, ADamagedPayloadIsRefused) {
  const RandomPast past = {.shape = ShapeOf(GetParam()), .blocks = 40};
  const Problem problem(past.shape, past.rows() + 20, 5);
  const Opened opened = Open(past, false, Options());
  opened.payload[17] ^= std::byte{1};
  Trace trace(problem);
  EXPECT_ERROR(RunSteps(*opened.session, problem, problem.rows, 4, &trace), Errc::kCorruption,
               "layer 1 head 0");
}

TEST_P(RandomPastTest, ItIsCommittedInPieces) {
  SessionShape shape = MakeShape(GetParam(), 1, 1, 1, {2, 2, DType::kF32});
  const RandomPast past = {.shape = shape, .blocks = 4099};
  auto engine = test::MemoryEngine();
  const uint64_t extent = engine->catalog().NewExtent().value();
  ASSERT_GOOD(past.Commit("s", extent, engine->catalog(), kNever));
  const SessionRecord record = engine->catalog().Find("s").value();
  EXPECT_EQ(record.commits, engine->catalog().ReadTokenCounts(record).value().size());
  EXPECT_GT(record.commits, 1u);
  auto sections = engine->catalog().ReadSections(record, SummaryType(GetParam()), 0).value();
  std::string all;
  for (const SummarySection& section : sections) all += section.bytes;
  EXPECT_EQ(all, past.Summaries(0, 0, past.blocks));
  int asked = 0;
  const auto stop = [&](const std::string&) { return ++asked == 2; };
  EXPECT_ERROR(past.Commit("t", extent, engine->catalog(), stop), Errc::kInterrupted, "stopped");
}

INSTANTIATE_TEST_SUITE_P(Modes, RandomPastTest,
                         testing::Values(AttentionMode::kLandmark, AttentionMode::kUnmodified),
                         [](const auto& info) {
                           return std::string(AttentionModeName(info.param));
                         });

}  // namespace
}  // namespace cairn
