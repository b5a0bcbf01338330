// SearchBench: time and quality of a search for one query group, as a decode step makes it, beside
// FAISS on the same vectors in the same run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/recording.h"
#include "index/landmark_index.h"

namespace cairn {

struct SearchBenchOptions {
  std::vector<int64_t> counts;   ///< n: vectors of a partition
  std::vector<int32_t> dims;     ///< D
  std::vector<IndexKind> kinds;  ///< of ours
  int32_t rows = 3;              ///< of a group, where vectors are drawn
  int32_t k = 16;                ///< blocks chosen
  int32_t turns = 15;            ///< timed searches of each side, in turns; the median counts
  int32_t many_rows = 0;         ///< also time a group of so many rows times `rows`; 0: no
  bool faiss = true;             ///< measure FAISS too
  const Recording* recording = nullptr;  ///< where vectors and queries come from; null: drawn
};

/// One kind of index at one size.
struct SearchRow {
  std::string index;
  int64_t count = 0;
  int32_t dim = 0;
  int32_t rows = 0;
  int32_t k = 0;
  int32_t partitions = 0;  ///< searched in turn, so that caches do not hold what is searched
  int64_t recorded = 0;    ///< vectors that were recorded
  double milliseconds = 0;
  double faiss_ms = 0;       ///< as it comes
  double faiss_blas_ms = 0;  ///< by matrix products
  double recall = 0;         ///< of the k best blocks by exact f32, over the query groups
  double lse_error = 0;      ///< mean |lse − exact|
  double bytes_per_vector = 0;
  double many_ms = 0;           ///< the large group
  double add_microseconds = 0;  ///< per vector
};

/// Meant for one core: call SetThreads(1) before. `show` is told what goes on; true from it stops.
/// kInvalidArgument where `k` is above a count.
Result<std::vector<SearchRow>> RunSearchBench(const SearchBenchOptions& options,
                                              const std::function<bool(const std::string&)>& show);

/// How cost grows from one row to a later one of the same kind: the e of n^e.
double GrowthExponent(const SearchRow& small, const SearchRow& large);

}  // namespace cairn
