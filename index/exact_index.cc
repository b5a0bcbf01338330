#include "index/exact_index.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "base/check.h"
#include "index/exact_search.h"
#include "index/search_request.h"

namespace cairn {
namespace {

class ExactIndex final : public LandmarkIndex {
 public:
  explicit ExactIndex(const IndexOptions& options) : options_(options) {
    stores_.reserve(static_cast<size_t>(options.partitions));
    for (int32_t i = 0; i < options.partitions; ++i) {
      stores_.emplace_back(options.dtype, options.dim, options.representatives);
    }
  }

  Status Add(int32_t first_partition, int32_t partition_count, int64_t count,
             const float* vectors) override;
  void Truncate(int32_t first_partition, int32_t partition_count, int64_t size) override;
  int64_t size(int32_t partition) const override {
    CAIRN_CHECK(partition >= 0 && partition < options_.partitions);
    return stores_[static_cast<size_t>(partition)].size();
  }
  Status Search(const SearchRequest& request, SearchResult* result) override;
  std::string_view name() const override { return "exact"; }
  uint64_t memory_bytes() const override { return memory_bytes_.load(); }

 private:
  const IndexOptions options_;
  std::vector<RepresentativeStore> stores_;
  std::atomic<uint64_t> memory_bytes_{0};
};

Status ExactIndex::Add(int32_t first_partition, int32_t partition_count, int64_t count,
                       const float* vectors) {
  CAIRN_CHECK(count >= 0 && partition_count >= 0);
  const auto floats = static_cast<size_t>(count) * static_cast<size_t>(options_.representatives) *
                      static_cast<size_t>(options_.dim);
  CAIRN_TRY(CheckFinite({vectors, floats * static_cast<size_t>(partition_count)}, options_.dtype,
                        "the blocks' representatives"));
  for (int32_t i = 0; i < partition_count; ++i) {
    CAIRN_CHECK(size(first_partition + i) == size(first_partition));
  }
  for (int32_t i = 0; i < partition_count; ++i) {
    RepresentativeStore& store = stores_[static_cast<size_t>(first_partition + i)];
    const uint64_t before = store.memory_bytes();
    store.Append(count, vectors + static_cast<size_t>(i) * floats);
    memory_bytes_ += store.memory_bytes() - before;
  }
  return Ok();
}

void ExactIndex::Truncate(int32_t first_partition, int32_t partition_count, int64_t size) {
  for (int32_t i = 0; i < partition_count; ++i) {
    CAIRN_CHECK(first_partition >= 0 && first_partition + i < options_.partitions);
    RepresentativeStore& store = stores_[static_cast<size_t>(first_partition + i)];
    const uint64_t before = store.memory_bytes();
    store.Truncate(size);
    memory_bytes_ -= before - store.memory_bytes();
  }
}

Status ExactIndex::Search(const SearchRequest& request, SearchResult* result) {
  int64_t smallest = size(request.first_partition);
  for (int32_t i = 1; i < request.partition_count; ++i) {
    smallest = std::min(smallest, size(request.first_partition + i));
  }
  CAIRN_TRY(PrepareSearch(options_, request, smallest, result));
  if (request.end == request.begin || request.rows == 0) return Ok();
  const BlockRange range{request.begin, request.end, stores_.front().chunk_blocks()};
  const ExactSearch search{options_, stores_, request, result, range};
  if (request.rows < kManyRows) {
    SearchFewRows(search);
  } else {
    SearchManyRows(search);
  }
  return Ok();
}

}  // namespace

GroupRows::GroupRows(const ExactSearch& search, int64_t partition_index, int64_t group)
    : partition(partition_index),
      begin(group * search.request.rows_per_group),
      end(std::min<int64_t>(begin + search.request.rows_per_group, search.request.rows)),
      lse(search.result->lse.data() + partition * search.request.rows + begin) {
  const int64_t at = (partition * search.result->groups + group) * search.result->k;
  ordinals = search.result->ordinals.data() + at;
  weights = search.result->log_weights.data() + at;
}

std::unique_ptr<LandmarkIndex> MakeExactIndex(const IndexOptions& options) {
  return std::make_unique<ExactIndex>(options);
}

}  // namespace cairn
