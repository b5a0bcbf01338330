// How vectors lie where FAISS searches those of several KV heads at once: a row holds the vectors
// of all heads, [H, D], and a query is as long and zero but for its own head, so that its products
// with rows are those with its head's vectors. Pure functions, for index/ and what measures it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace cairn {

/// The largest number of a half.
inline constexpr float kLargestHalf = 65504.0f;

/// The type of rows for vectors of `type`: f32, and f16 for bf16, whose numbers it holds exactly
/// between 2^-14 and kLargestHalf. FAISS knows no bf16.
constexpr DType RowType(DType type) { return type == DType::kF32 ? DType::kF32 : DType::kF16; }

/// Lays `vectors`, [heads, count, D], out as [count, width, D] of `type`, heads at `at` and zeros
/// beside them.
void LayRows(DType type, int32_t dim, int32_t heads, int64_t count, const float* vectors,
             int32_t width, int32_t at, std::byte* rows);

/// A power of two that brings the largest number of a query into [1, 2), or as near as a normal
/// number can, so that halves neither overflow nor lose it; its products order vectors as before. 1
/// for zeros and with f32.
float QueryScale(DType type, std::span<const float> query);

/// Lays `queries`, [heads, rows, D], out as [heads, rows, width, D] of `type`, each times its
/// QueryScale, that of head h at place `at` + h and zeros beside it.
void LayQueries(DType type, int32_t dim, int32_t heads, int64_t rows, const float* queries,
                int32_t width, int32_t at, std::byte* laid);

/// How far a score by FAISS may be from the product of a query with a vector: `query_norm` and the
/// `largest_norm` of all vectors are Euclidean.
float ScoreError(DType type, int32_t dim, double query_norm, double largest_norm);

/// Queries of one call to FAISS 1.7.3 over `vectors` vectors so that what it works in, two tiles of
/// scores among it, fits so many bytes; 1 at least.
int64_t QueriesAtOnce(int64_t vectors, int32_t k, int64_t bytes);

/// Vectors that FAISS finds for a query when k blocks are chosen of so many, each of which has
/// `representatives`: those of 128 blocks or of 2k, FlatSearch::kMost at most.
int32_t VectorsToFind(int32_t k, int64_t blocks, int32_t representatives);

}  // namespace cairn
