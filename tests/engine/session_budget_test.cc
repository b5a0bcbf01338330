// Memory budgets decide what is read again, never what is computed.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "engine/engine.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

using test::Problem;
using test::Trace;

struct BudgetCase {
  AttentionMode mode;
  Selection selection;
  DType dtype;
};

class SessionBudgetTest : public testing::TestWithParam<BudgetCase> {};

struct BudgetRun {
  Trace trace;
  uint64_t cold_hits = 0;  ///< blocks read back from the cold tier
  uint64_t compute_hits = 0;
  uint64_t ahead_blocks = 0;  ///< read ahead
};

void RunWith(const Problem& problem, const SessionOptions& options, const EngineOptions& budgets,
             BudgetRun* run) {
  auto engine = test::MemoryEngine(budgets);
  auto session = engine->CreateSession("s", problem.shape, options, "{}");
  ASSERT_GOOD(session);
  run->trace = Trace(problem);
  ASSERT_GOOD(
      RunSteps(*session.value(), problem, problem.rows, options.max_step_rows, &run->trace));
  for (const TierReport& tier : engine->tiers()->Report()) {
    run->ahead_blocks += tier.ahead_blocks;
    if (std::string_view(tier.name) == "cold") run->cold_hits = tier.hit_blocks;
    if (std::string_view(tier.name) == "compute") run->compute_hits = tier.hit_blocks;
  }
}

TEST_P(SessionBudgetTest, ResultsAreTheSameToTheBit) {
  SessionShape shape = test::MakeShape(GetParam().mode, 2, 4, 2, {4, 8, GetParam().dtype});
  if (GetParam().mode == AttentionMode::kUnmodified) shape.representatives = 2;
  const Problem problem(shape, 1500, 51);
  SessionOptions options;
  options.retrieve = 5;
  options.recent_tokens = 8;
  options.max_step_rows = 25;
  options.selection = GetParam().selection;
  const uint64_t least = test::LeastHostBytes(shape, options);
  const uint64_t plenty = 64ull << 20;
  BudgetRun large, tiny, compute, both;
  RunWith(problem, options, {.host_bytes = plenty}, &large);
  RunWith(problem, options, {.host_bytes = least}, &tiny);
  RunWith(problem, options, {.host_bytes = plenty, .compute_bytes = least}, &compute);
  RunWith(problem, options, {.host_bytes = least, .compute_bytes = 2 * least}, &both);
  // The budgets must have made a difference to the tiers, or this test shows nothing.
  EXPECT_EQ(large.cold_hits, 0u);
  EXPECT_GT(tiny.cold_hits, 0u);
  EXPECT_GT(both.cold_hits, 0u);
  EXPECT_GT(compute.compute_hits, 0u);
  EXPECT_TRUE(large.trace.o == tiny.trace.o);
  EXPECT_TRUE(large.trace.o == compute.trace.o);
  EXPECT_TRUE(large.trace.o == both.trace.o);
}

TEST(SessionReadAheadTest, ResultsAreTheSameToTheBit) {
  for (const AttentionMode mode : {AttentionMode::kLandmark, AttentionMode::kUnmodified}) {
    // What a step wants of all layers is more than the host tier holds.
    const SessionShape shape = test::MakeShape(mode, 12, 4, 2, {4, 8, DType::kF16});
    const Problem problem(shape, 600, 52);
    SessionOptions options;
    options.retrieve = 30;
    options.recent_tokens = 8;
    options.max_step_rows = 10;
    const uint64_t least = test::LeastHostBytes(shape, options);
    BudgetRun with, without, compute;
    RunWith(problem, options, {.host_bytes = least, .read_ahead = true}, &with);
    RunWith(problem, options, {.host_bytes = least}, &without);
    RunWith(problem, options, {.host_bytes = least, .compute_bytes = least, .read_ahead = true},
            &compute);
    EXPECT_GT(with.ahead_blocks, 0u);
    EXPECT_EQ(without.ahead_blocks, 0u);
    EXPECT_TRUE(with.trace.o == without.trace.o);
    EXPECT_TRUE(with.trace.o == compute.trace.o);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Modes, SessionBudgetTest,
    testing::Values(BudgetCase{AttentionMode::kLandmark, Selection::kPerToken, DType::kF16},
                    BudgetCase{AttentionMode::kLandmark, Selection::kPerTokenSharedHeads,
                               DType::kF32},
                    BudgetCase{AttentionMode::kLandmark, Selection::kPerToken, DType::kQ8},
                    BudgetCase{AttentionMode::kUnmodified, Selection::kPerChunk, DType::kF16}));

}  // namespace
}  // namespace cairn
