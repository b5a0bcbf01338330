// How the index of lists searches (list_store.h). Internal to index/.
//
// For a row r and a list with centre c and spread σ, scores lie around q·c, and few above
// q·c + z·w·σ, where w is |q| or, as lists are wider in some directions, what fits these. Lists are
// scored in the order of that bound, and when it falls below the k-th weight found the rest are
// left out: what they hold is wanted in rare cases. What they add to the log-sum-exp is estimated
// from their centres and spreads.
#pragma once

#include <vector>

#include "index/landmark_index.h"
#include "index/list_store.h"

namespace cairn {

/// A checked request over a range that is not empty, with at least one row. `result` is laid out,
/// and result->lse holds what the caller joins.
struct ListSearch {
  const IndexOptions& options;
  std::vector<const ListStore*> stores;  ///< of the request's partitions, all listed
  const SearchRequest& request;
  SearchResult* result;
};

/// One task per partition and group of rows.
void SearchLists(const ListSearch& search);

}  // namespace cairn
