#include "index/exact_search.h"

#include <algorithm>

namespace cairn {

GroupRows::GroupRows(const ExactSearch& search, int64_t partition_index, int64_t group)
    : partition(partition_index),
      begin(group * search.request.rows_per_group),
      end(std::min<int64_t>(begin + search.request.rows_per_group, search.request.rows)),
      lse(search.result->lse.data() + partition * search.request.rows + begin) {
  const int64_t at = (partition * search.result->groups + group) * search.result->k;
  ordinals = search.result->ordinals.data() + at;
  weights = search.result->log_weights.data() + at;
}

}  // namespace cairn
