// Scores of the blocks of one chunk of a CodeStore. Internal to index/.
#pragma once

#include <cstdint>

#include "index/code_store.h"

namespace cairn {

/// Rows whose sums CodedSums makes at once.
inline constexpr int64_t kCodedRows = 4;

/// Products of up to kCodedRows queries with vectors of a coded chunk: vector i's for row r is
/// offset[4·r] + unit[r]·(128·high(r)[i] + low(r)[i]). Valid until this thread's next call.
struct CodedSums {
  const int32_t* sums;
  int64_t stride;
  int64_t rows;
  float unit[kCodedRows];
  float offset[4 * kCodedRows];
  float coarse_offset[kCodedRows];  ///< in place of offset[4·r] if low is left out

  const int32_t* high(int64_t row) const { return sums + row * stride; }
  /// Not if the products are coarse.
  const int32_t* low(int64_t row) const { return sums + (rows + row) * stride; }
};

/// Of a query the upper 8 bits of 15, or all of them.
enum class QueryBits : uint8_t { kCoarse, kFine };

/// Vectors [first, first + count) of a coded chunk; queries [rows ≤ kCodedRows, D] f32.
CodedSums SumCodes(const CodeStore& store, int64_t chunk, int64_t first, int64_t count,
                   const float* queries, int64_t rows, QueryBits bits);

/// scores[r·stride + i] = the product of query r of [rows, D] f32 with vector i of blocks
/// [begin, end) of the chunk, for (end − begin)·R vectors; `bits` counts if it is coded. stride ≥
/// (end − begin)·R + 3, and what lies past the vectors is overwritten.
void ScoreChunk(const CodeStore& store, int64_t chunk, int64_t begin, int64_t end,
                const float* queries, int64_t rows, QueryBits bits, float* scores, int64_t stride);

}  // namespace cairn
