#include "index/exact_index.h"

#include <algorithm>
#include <atomic>
#include <type_traits>
#include <vector>

#include "base/check.h"
#include "index/exact_search.h"
#include "index/search_request.h"

namespace cairn {
namespace {

RepresentativeStore MakeStore(const IndexOptions& options, RepresentativeStore*) {
  return {options.dtype, options.dim, options.representatives};
}
CodeStore MakeStore(const IndexOptions& options, CodeStore*) {
  return {options.dim, options.representatives};
}

// Over plain vectors (RepresentativeStore) or codes (CodeStore).
template <class Store>
class ExactIndex final : public LandmarkIndex {
 public:
  explicit ExactIndex(const IndexOptions& options) : options_(options) {
    stores_.reserve(static_cast<size_t>(options.partitions));
    for (int32_t i = 0; i < options.partitions; ++i) {
      stores_.push_back(MakeStore(options, static_cast<Store*>(nullptr)));
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
  std::string_view name() const override { return kCodes ? "int8" : "exact"; }
  uint64_t memory_bytes() const override { return memory_bytes_.load(); }

 private:
  static constexpr bool kCodes = std::is_same_v<Store, CodeStore>;

  const IndexOptions options_;
  std::vector<Store> stores_;
  std::atomic<uint64_t> memory_bytes_{0};
};

template <class Store>
Status ExactIndex<Store>::Add(int32_t first_partition, int32_t partition_count, int64_t count,
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
    Store& store = stores_[static_cast<size_t>(first_partition + i)];
    const uint64_t before = store.memory_bytes();
    store.Append(count, vectors + static_cast<size_t>(i) * floats);
    memory_bytes_ += store.memory_bytes() - before;
  }
  return Ok();
}

template <class Store>
void ExactIndex<Store>::Truncate(int32_t first_partition, int32_t partition_count, int64_t size) {
  for (int32_t i = 0; i < partition_count; ++i) {
    CAIRN_CHECK(first_partition >= 0 && first_partition + i < options_.partitions);
    Store& store = stores_[static_cast<size_t>(first_partition + i)];
    const uint64_t before = store.memory_bytes();
    store.Truncate(size);
    memory_bytes_ -= before - store.memory_bytes();
  }
}

template <class Store>
Status ExactIndex<Store>::Search(const SearchRequest& request, SearchResult* result) {
  int64_t smallest = size(request.first_partition);
  for (int32_t i = 1; i < request.partition_count; ++i) {
    smallest = std::min(smallest, size(request.first_partition + i));
  }
  CAIRN_TRY(PrepareSearch(options_, request, smallest, result));
  if (request.end == request.begin || request.rows == 0) return Ok();
  const BlockRange range{request.begin, request.end, stores_.front().chunk_blocks()};
  if constexpr (kCodes) {
    // Of codes it is what the codes say, but for the vectors that are not coded yet.
    for (int32_t i = 0; i < request.partition_count; ++i) {
      const Store& store = stores_[static_cast<size_t>(request.first_partition + i)];
      if (request.begin < store.coded_chunks() * store.chunk_blocks()) result->lse_exact = false;
    }
    const ExactSearch search{options_, {}, stores_, request, result, range};
    request.rows < kManyRows ? SearchFewCodes(search) : SearchManyRows(search);
  } else {
    const ExactSearch search{options_, stores_, {}, request, result, range};
    request.rows < kManyRows ? SearchFewRows(search) : SearchManyRows(search);
  }
  return Ok();
}

}  // namespace

std::unique_ptr<LandmarkIndex> MakeExactIndex(const IndexOptions& options) {
  return std::make_unique<ExactIndex<RepresentativeStore>>(options);
}

std::unique_ptr<LandmarkIndex> MakeInt8Index(const IndexOptions& options) {
  return std::make_unique<ExactIndex<CodeStore>>(options);
}

}  // namespace cairn
