// Sessions against oracles in double precision: with every block chosen they are dense attention;
// with few, attention over what they chose at the positions of the specification.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/engine.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

using test::ExpectNear;
using test::Problem;
using test::SeenByRow;
using test::Trace;

struct OracleCase {
  AttentionMode mode;
  int32_t query_heads, kv_heads, head_dim, block_rows;
  RopeStyle style;
};

SessionShape ShapeOf(const OracleCase& test, int32_t layers) {
  SessionShape shape = test::MakeShape(test.mode, layers, test.query_heads, test.kv_heads,
                                       {test.block_rows, test.head_dim, DType::kF32});
  shape.rope_style = test.style;
  return shape;
}

class SessionOracleTest : public testing::TestWithParam<OracleCase> {
 protected:
  void Run(const Problem& problem, const SessionOptions& options, int32_t chunk, Trace* trace) {
    auto engine = test::MemoryEngine();
    auto session = engine->CreateSession("s", problem.shape, options, "{}");
    ASSERT_GOOD(session);
    ASSERT_GOOD(RunSteps(*session.value(), problem, problem.rows, chunk, trace));
  }
};

TEST_P(SessionOracleTest, EveryBlockChosenIsDense) {
  const Problem problem(ShapeOf(GetParam(), 3), 75, 41);
  const std::vector<double> expected = DenseOracle(problem);
  for (const Selection selection :
       {Selection::kPerChunk, Selection::kPerToken, Selection::kPerTokenSharedHeads}) {
    for (const int32_t chunk : {1, 7, 13, 32, 75}) {
      SessionOptions options;
      options.selection = selection;
      options.retrieve = 75;
      options.recent_tokens = 10;
      options.max_step_rows = chunk;
      Trace trace(problem);
      Run(problem, options, chunk, &trace);
      SCOPED_TRACE(testing::Message() << SelectionName(selection) << " chunk " << chunk);
      ExpectNear(trace.o, expected, 1e-5);
    }
  }
}

/// Blocks of codes are attended to in place of what they were made from, and at its quality.
TEST_P(SessionOracleTest, EveryBlockOfCodesChosenIsNearlyDense) {
  SessionShape shape = ShapeOf(GetParam(), 2);
  shape.block.dtype = DType::kQ8;
  const Problem problem(shape, 75, 43);
  const std::vector<double> expected = DenseOracle(problem);
  for (const int32_t chunk : {1, 32}) {
    SessionOptions options;
    options.retrieve = 75;
    options.recent_tokens = 10;
    options.max_step_rows = chunk;
    Trace trace(problem);
    Run(problem, options, chunk, &trace);
    SCOPED_TRACE(testing::Message() << "chunk " << chunk);
    ExpectNear(trace.o, expected, 5e-2);
    double squares = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      squares += (trace.o[i] - expected[i]) * (trace.o[i] - expected[i]);
    }
    const double error = std::sqrt(squares / static_cast<double>(expected.size()));
    EXPECT_LT(error, 8e-3);
    EXPECT_GT(error, 1e-4) << "these were not codes";
  }
}

TEST_P(SessionOracleTest, ScaleIsUsed) {
  SessionShape shape = ShapeOf(GetParam(), 1);
  shape.scale = 0.9f;
  const Problem problem(shape, 30, 42);
  SessionOptions options;
  options.retrieve = 30;
  options.max_step_rows = 11;
  Trace trace(problem);
  Run(problem, options, 11, &trace);
  ExpectNear(trace.o, DenseOracle(problem), 1e-5);
}

TEST_P(SessionOracleTest, FewBlocksStandWhereTheSpecificationSays) {
  const Problem problem(ShapeOf(GetParam(), 2), 120, 43);
  const SessionShape& shape = problem.shape;
  for (const Selection selection :
       {Selection::kPerChunk, Selection::kPerToken, Selection::kPerTokenSharedHeads}) {
    SessionOptions options;
    options.selection = selection;
    options.retrieve = 3;
    options.sinks = 1;
    options.recent_tokens = 10;
    options.max_step_rows = 9;
    Trace trace(problem);
    Run(problem, options, 9, &trace);
    std::vector<double> expected;
    int64_t fewer = 0;
    for (int32_t layer = 0; layer < shape.layers; ++layer) {
      for (int64_t row = 0; row < problem.rows; ++row) {
        const Choice& choice = trace.choices[row / 9][layer];
        const auto group = static_cast<int32_t>(choice.groups == 1 ? 0 : row % 9);
        for (int32_t head = 0; head < shape.query_heads; ++head) {
          const auto keys =
              SeenByRow(shape, options, choice.Of(head / shape.group(), group), row / 9 * 9, row);
          fewer += choice.k < 3 ? 0 : 1;
          const auto o = AttendRowOracle(problem, layer, head, keys);
          expected.insert(expected.end(), o.begin(), o.end());
        }
      }
    }
    EXPECT_GT(fewer, 0) << "every step chose all";
    SCOPED_TRACE(SelectionName(selection));
    ExpectNear(trace.o, expected, 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, SessionOracleTest,
    testing::Values(OracleCase{AttentionMode::kLandmark, 1, 1, 4, 4, RopeStyle::kHalfSplit},
                    OracleCase{AttentionMode::kLandmark, 6, 2, 8, 5, RopeStyle::kInterleaved},
                    OracleCase{AttentionMode::kLandmark, 3, 3, 16, 8, RopeStyle::kHalfSplit},
                    OracleCase{AttentionMode::kUnmodified, 6, 2, 8, 5, RopeStyle::kInterleaved},
                    OracleCase{AttentionMode::kUnmodified, 4, 4, 16, 8, RopeStyle::kHalfSplit}),
    [](const auto& info) {
      return std::string(AttentionModeName(info.param.mode)) +
             std::to_string(info.param.query_heads) + "over" + std::to_string(info.param.kv_heads);
    });

}  // namespace
}  // namespace cairn
