// The sketch of a block's keys: four bits a number, and how far off each row then is. It tells what
// the block can weigh at most in a softmax of whatever query, and about what it does weigh, without
// the block being read. A sketch has about a seventh of the bytes of a block of 64 rows in f16.
//
// With k' the sketch of key k and e ≥ |k − k'|, q·k ≤ q·k' + |q|·e (Cauchy and Schwarz).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/block_shape.h"

namespace cairn {

/// Bytes of one block's and one KV head's sketch.
size_t KeySketchBytes(const BlockShape& shape);

/// Writes the sketch of a complete block's payload. Keys are finite.
void SketchKeys(const BlockShape& shape, const std::byte* payload, std::byte* sketch);

/// Logs of what `count` blocks weigh in a plain softmax: estimates[r][i] = log Σ_t exp(q_r·k'_t),
/// and bounds[r][i] = log Σ_t exp(q_r·k'_t + |q_r|·e_t), which is no less than the block's true
/// log Σ_t exp(q_r·k_t), but for rounding. `queries` is [rows, D], scaled and rotated to where the
/// blocks stand; rows of the results are `stride` ≥ count apart.
struct SketchParams {
  BlockShape shape;
  const std::byte* sketches = nullptr;  ///< [count] of KeySketchBytes each
  int64_t count = 0;
  const float* queries = nullptr;
  int32_t rows = 0;
  float* estimates = nullptr;
  float* bounds = nullptr;
  int64_t stride = 0;
};

void WeighSketchesReference(const SketchParams& params);
/// The same within rounding.
void WeighSketches(const SketchParams& params);

}  // namespace cairn
