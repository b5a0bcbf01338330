// Element-wise parts of a transformer layer over rows of f32: in plain loops, as what the kernels
// for GPUs are held to. On a CPU a model uses vectorised ones (model/activations.h).
//
// Results of `type` are kF32 or kBF16, rounded to nearest even. They do not overlap what is read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace cairn {

/// y = x / sqrt(mean(x²) + epsilon) · weight, row by row. `x` is [rows, n] f32, `weight` [n], `y`
/// [rows, n] of `type`.
void RmsNorm(const float* x, const float* weight, float epsilon, int64_t rows, int64_t n,
             DType type, std::byte* y);

/// What some architectures do to a row of projections, queries before keys before values: a bias is
/// added, and each query and each key is normed (QK-norm of Qwen 3, arXiv 2505.09388, section 2).
/// Any of the pointers may be null: then that is not done.
struct HeadWeights {
  const float* bias = nullptr;        ///< [(Hq + 2·Hkv)·D]
  const float* query_norm = nullptr;  ///< [D]
  const float* key_norm = nullptr;    ///< [D]
  float epsilon = 0;                  ///< of the norms
};
struct HeadCounts {
  int32_t query_heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t total() const { return query_heads + 2 * kv_heads; }
};

/// Changes `rows` rows of projections in place: [rows, (Hq + 2·Hkv)·D] f32.
void FinishHeads(const HeadWeights& weights, const HeadCounts& heads, int64_t rows, float* qkv);

/// x[i] += y[i] for `count` numbers; nothing if `stopped` is given and not 0.
void AddRows(float* x, const float* y, int64_t count, const int32_t* stopped);

/// y = silu(gate) · up. `gate_up` is [rows, 2·ffn] f32, a row's gates before its ups, and `y`
/// [rows, ffn] of `type`.
void SwiGlu(const float* gate_up, int64_t rows, int64_t ffn, DType type, std::byte* y);

/// `count` numbers of f32 as `type`.
void ConvertFloats(const float* x, int64_t count, DType type, std::byte* y);

/// The id of each row's largest logit, the lowest of equal ones. A NaN is never chosen, but for one
/// of id 0, which always is (as std::max_element does). `logits` is [rows, vocab] f32 with vocab ≥
/// 1, `ids` [rows].
void Greedy(const float* logits, int64_t rows, int64_t vocab, int32_t* ids);

}  // namespace cairn
