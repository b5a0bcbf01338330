// SearchData: vectors and query groups for a search to be measured on: keys and queries of a
// recording, or drawn numbers.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "bench/recording.h"

namespace cairn {

/// One partition's vectors, and groups of queries that share a choice.
struct SearchData {
  int32_t dim = 0;
  int32_t rows = 0;      ///< of a group
  int64_t recorded = 0;  ///< how many of the vectors were recorded; the rest repeats them changed
  std::vector<float> vectors;               ///< [n, D]
  std::vector<std::vector<float>> queries;  ///< groups [rows, D]
};

/// Drawn: vectors that wander, in a few directions more than in others, about a common mean, and
/// queries near some of them. Equal seeds, equal data.
SearchData DrawSearchData(int64_t count, int32_t dim, int32_t rows, int32_t groups, uint64_t seed);

/// Every key of one layer and KV head as a vector, rotated by its offset in its block, and query
/// groups of the last probes, rotated as a search rotates them. `dim` is D of the recording or
/// twice that: then two heads side by side. Beyond the recording's rows its keys come again, each
/// with a hundredth of its dimension's deviation added. kInvalidArgument for another `dim`.
Result<SearchData> RecordedSearchData(const Recording& recording, size_t layer, int32_t head,
                                      int64_t count, int32_t dim, int32_t groups);

/// The query rows of one probe row and KV head as searches in landmark mode or over packed blocks
/// see them: rotated to the distance of a far block and scaled by 1/√D. [G, D].
void FarQueries(const Recording& recording, size_t layer, int64_t probe_row, int32_t head,
                float* queries);

}  // namespace cairn
