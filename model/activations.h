// Element-wise parts of a transformer layer, vectorised for the CPU at hand.
#pragma once

#include <cstdint>

#include "kernels/transformer.h"

namespace cairn {

/// y = x / sqrt(mean(x²) + epsilon) · weight, for one row of n.
void RmsNorm(const float* x, const float* weight, float epsilon, int64_t n, float* y);

/// kernels/transformer.h's FinishHeads of one row.
void FinishHeads(const HeadWeights& weights, const HeadCounts& heads, float* row);

/// y[i] = silu(gate[i]) · up[i], for n elements; y may be gate or up.
void SwiGlu(const float* gate, const float* up, int64_t n, float* y);

/// x[i] += y[i].
void AddInPlace(float* x, const float* y, int64_t n);

/// log Σ exp(x[i]) over n elements.
float LogSumExp(const float* x, int64_t n);

}  // namespace cairn
