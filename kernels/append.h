// Writing rows into a block's payload, and the vectors that represent a complete block.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/block_shape.h"
#include "kernels/rope.h"

namespace cairn {

/// Writes `rows` keys and values as rows first_row, first_row+1, … of `payload`. `k` and `v` are
/// [rows, D] f32, un-rotated, `stride` elements between rows; key row t is rotated by t before it
/// is rounded to the payload's dtype, which is not kQ8. first_row + rows ≤ B; the table covers B
/// positions.
void AppendRows(const BlockShape& shape, const RopeTable& rope, int32_t first_row, int32_t rows,
                const float* k, const float* v, int64_t stride, std::byte* payload);

/// The block-relative landmark key (row B−1) as D floats.
void LandmarkKey(const BlockShape& shape, const std::byte* payload, float* key);

/// Means of the block-relative keys over `count` equal runs of rows (the last takes the rest, all
/// non-empty: count ≤ B); `means` is [count, D].
void SubBlockMeans(const BlockShape& shape, const std::byte* payload, int32_t count, float* means);

}  // namespace cairn
