// The inner loops of the exact index: scores by a scan, folding, and choosing the best blocks.
// Pure functions on pointers; vectorised with run-time dispatch. Same input, same bits; and equal
// vectors get equal scores wherever they lie.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "index/block_range.h"
#include "index/top_blocks.h"

namespace cairn {

/// scores[r][i] = queries[r] · vectors[i] with f32 sums, for `rows` queries [rows, dim] and `count`
/// vectors [count, dim] of `type` (kF32 or kBF16). Rows of scores are `stride` apart, stride ≥
/// count + 3, and what lies past `count` is overwritten. Reads the vectors once for four rows.
void ScanScores(DType type, const std::byte* vectors, int64_t count, int32_t dim,
                const float* queries, int32_t rows, float* scores, int64_t stride);

/// One row: folded[b] = max over i < representatives of scores[b·representatives + i], for b in
/// [0, blocks); returns the largest.
float FoldScores(const float* scores, int32_t representatives, int64_t blocks, float* folded);

/// Σ exp(scores[b] − max) for b in [0, blocks).
float SumOfExp(const float* scores, int64_t blocks, float max);

/// maxima[i] = the largest of scores[16·i, 16·i + 16), the last run being short; ceil(blocks / 16)
/// numbers.
void MaximaOfSixteens(const float* scores, int64_t blocks, float* maxima);

/// Offers blocks [0, count) to `top` with weights max over r < rows of scores[r·stride + b] −
/// lse[r].
void OfferBlocks(const float* scores, int64_t stride, int32_t rows, const float* lse, int64_t count,
                 TopBlocks* top);

/// best[b] = max(best[b], max over r < rows of scores[r·stride + b] − lse[r]).
void FoldRows(const float* scores, int64_t stride, int32_t rows, const float* lse, int64_t count,
              float* best);

}  // namespace cairn
