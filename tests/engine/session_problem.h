// Problems for engine sessions: random queries, keys and values, steps over them, and slow oracles
// in double precision, written from the specification rather than from the engine.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/options.h"
#include "storage/memory_cold_store.h"

namespace cairn::test {

/// A shape with inverse frequencies; context_rows is large enough for any test.
SessionShape MakeShape(AttentionMode mode, int32_t layers, int32_t query_heads, int32_t kv_heads,
                       BlockShape block);

/// Un-rotated inputs of all layers: q [L, rows, Hq, D], k and v [L, rows, Hkv, D].
struct Problem {
  Problem(const SessionShape& problem_shape, int64_t problem_rows, uint64_t stream);

  int64_t q_width() const { return static_cast<int64_t>(shape.query_heads) * shape.block.head_dim; }
  int64_t kv_width() const { return static_cast<int64_t>(shape.kv_heads) * shape.block.head_dim; }
  const float* Q(int32_t layer, int64_t row) const {
    return q.data() + (layer * rows + row) * q_width();
  }
  const float* K(int32_t layer, int64_t row) const {
    return k.data() + (layer * rows + row) * kv_width();
  }
  const float* V(int32_t layer, int64_t row) const {
    return v.data() + (layer * rows + row) * kv_width();
  }
  bool IsLandmark(int64_t row) const {
    return shape.mode == AttentionMode::kLandmark &&
           row % shape.block.block_rows == shape.block.block_rows - 1;
  }

  SessionShape shape;
  int64_t rows;
  std::vector<float> q, k, v;
};

/// What a run produced: outputs [L, rows, Hq, D] and the choices of its steps, a list per layer.
struct Trace {
  Trace() = default;
  explicit Trace(const Problem& problem)
      : o(static_cast<size_t>(problem.shape.layers * problem.rows * problem.q_width())) {}

  std::vector<float> o;
  std::vector<std::vector<Choice>> choices;  ///< [steps][L]
};

/// One step of `rows` rows of the problem from the session's row on; aborted if a layer fails.
Status RunStep(Session& session, const Problem& problem, int32_t rows, Trace* trace);
/// Steps of `chunk` rows until the session has `end` rows. Row i also counts as token i.
Status RunSteps(Session& session, const Problem& problem, int64_t end, int32_t chunk, Trace* trace);
/// The same without a trace, counting tokens as a model's runner does: landmarks are none.
Status ReadSteps(Session& session, const Problem& problem, int64_t end, int32_t chunk);

/// A key a query row sees: row of the problem and position.
struct SeenKey {
  int64_t row = 0;
  int64_t position = 0;
};
/// Adds the rows of block `block` at slot `slot`.
void AddBlockKeys(const SessionShape& shape, int64_t block, int64_t slot,
                  std::vector<SeenKey>* keys);
/// What row `row` of a step that began at `first` sees, having chosen `chosen`, of which `room`
/// have slots of their own.
std::vector<SeenKey> SeenByRow(const SessionShape& shape, const SessionOptions& options,
                               std::span<const int64_t> chosen, int64_t first, int64_t row,
                               int64_t room = 1 << 20);
/// Attention of one query row and head over `keys` (sequence order, the row itself last), by
/// section 5 of the specification or plain softmax, as the shape says. [D]
std::vector<double> AttendRowOracle(const Problem& problem, int32_t layer, int32_t query_head,
                                    const std::vector<SeenKey>& keys);
/// Dense attention of every row at true positions. [L, rows, Hq, D]
std::vector<double> DenseOracle(const Problem& problem);

/// R(position) x in double.
std::vector<double> RotateOracle(const SessionShape& shape, const float* x, int64_t position);

void ExpectNear(const std::vector<float>& found, const std::vector<double>& expected, double bound);

/// The least host budget with which sessions of this shape and options work.
uint64_t LeastHostBytes(const SessionShape& shape, const SessionOptions& options);

/// An engine over a store of its own in memory.
std::unique_ptr<Engine> MemoryEngine(const EngineOptions& options = {.host_bytes = 8 << 20});

}  // namespace cairn::test

/// Asserts that a Status or Result is good, with its message if not.
#define ASSERT_GOOD(expression)                                    \
  do {                                                             \
    const auto& checked_ = (expression);                           \
    ASSERT_TRUE(checked_.has_value()) << checked_.error().message; \
  } while (false)
/// Expects a Status or Result to be an error of this code whose message holds `fragment`.
#define EXPECT_ERROR(expression, errc, fragment)                         \
  do {                                                                   \
    const auto& failed_ = (expression);                                  \
    ASSERT_FALSE(failed_.has_value()) << "no error about " << fragment;  \
    EXPECT_EQ(failed_.error().code, errc) << failed_.error().message;    \
    EXPECT_NE(failed_.error().message.find(fragment), std::string::npos) \
        << failed_.error().message;                                      \
  } while (false)
