// How indexes that score every block search: few rows and many, over plain vectors and over 8-bit
// codes. Internal to index/.
//
// With few rows the representatives are scanned once and all scores kept. With many rows they are
// matrix products, too many scores to keep: what is kept is the largest score of each run of 16
// blocks, and only the k best runs are scored again.
#pragma once

#include <cstdint>
#include <vector>

#include "index/block_range.h"
#include "index/code_store.h"
#include "index/landmark_index.h"
#include "index/representative_store.h"

namespace cairn {

/// From here on matrix products beat the scan.
inline constexpr int32_t kManyRows = 16;

/// A checked request over a range that is not empty, with at least one row. `result` is laid out,
/// and result->lse holds what the caller joins. One of `stores` and `code_stores` is empty.
struct ExactSearch {
  const IndexOptions& options;
  std::vector<const RepresentativeStore*> stores;  ///< of the request's partitions
  std::vector<const CodeStore*> code_stores;
  const SearchRequest& request;
  SearchResult* result;
  BlockRange range;

  bool codes() const { return !code_stores.empty(); }
  const RepresentativeStore& store(int64_t partition) const {
    return *stores[static_cast<size_t>(partition)];
  }
  const CodeStore& code_store(int64_t partition) const {
    return *code_stores[static_cast<size_t>(partition)];
  }
  const float* queries_of(int64_t partition) const {
    return request.queries + partition * request.rows * options.dim;
  }
  /// Of the vectors that are multiplied when candidates are scored again.
  DType product_type() const { return codes() ? DType::kF32 : options.dtype; }
  /// How many runs of blocks are scored again: the k best hold the k best blocks. First scores of
  /// codes are coarse, so that it takes more.
  int64_t runs_scored_again() const {
    return codes() ? 2 * int64_t{result->k} + 4 : int64_t{result->k};
  }
  size_t row_bytes() const { return static_cast<size_t>(options.dim) * DTypeBytes(product_type()); }
};

/// Rows of one group of one partition, and where its choice goes.
struct GroupRows {
  GroupRows(const ExactSearch& search, int64_t partition_index, int64_t group);

  int64_t partition;
  int64_t begin;  ///< first row, counted within the partition
  int64_t end;
  float* lse;  ///< of row `begin`
  int64_t* ordinals;
  float* weights;
};

void SearchFewRows(const ExactSearch& search);
void SearchFewCodes(const ExactSearch& search);
void SearchManyRows(const ExactSearch& search);

}  // namespace cairn
