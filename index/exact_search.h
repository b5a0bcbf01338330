// The two ways the exact index searches. Internal to index/.
//
// With few rows the representatives are scanned once and all scores kept. With many rows they are
// matrix products, too many scores to keep: what is kept is the largest score of each run of 16
// blocks, and only the k best runs are scored again.
#pragma once

#include <cstdint>
#include <vector>

#include "index/block_range.h"
#include "index/landmark_index.h"
#include "index/representative_store.h"

namespace cairn {

/// From here on matrix products beat the scan.
inline constexpr int32_t kManyRows = 16;

/// A checked request over a range that is not empty, with at least one row. `result` is laid out,
/// and result->lse holds what the caller joins.
struct ExactSearch {
  const IndexOptions& options;
  const std::vector<RepresentativeStore>& stores;
  const SearchRequest& request;
  SearchResult* result;
  BlockRange range;

  const RepresentativeStore& store(int64_t partition) const {
    return stores[static_cast<size_t>(request.first_partition + partition)];
  }
  size_t row_bytes() const { return static_cast<size_t>(options.dim) * DTypeBytes(options.dtype); }
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
void SearchManyRows(const ExactSearch& search);

}  // namespace cairn
