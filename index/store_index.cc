#include "index/store_index.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "base/check.h"
#include "base/parallel.h"
#include "index/exact_search.h"
#include "index/list_search.h"
#include "index/search_request.h"

namespace cairn {
namespace {

constexpr int64_t kLeastListed = 256;

// A kind of index: how its stores are made and searched, and whether what Load brings may wait.
struct Exact {
  static constexpr bool kMayWait = false;
  using Store = RepresentativeStore;
  static constexpr std::string_view kName = "exact";
  static Store Make(const IndexOptions& options) {
    return {options.dtype, options.dim, options.representatives};
  }
  static void Search(const IndexOptions& options, const std::vector<const Store*>& stores,
                     const SearchRequest& request, SearchResult* result) {
    const BlockRange range{request.begin, request.end, stores.front()->chunk_blocks()};
    const ExactSearch search{options, stores, {}, request, result, range};
    request.rows < kManyRows ? SearchFewRows(search) : SearchManyRows(search);
  }
};

struct Int8 {
  static constexpr bool kMayWait = false;
  using Store = CodeStore;
  static constexpr std::string_view kName = "int8";
  static Store Make(const IndexOptions& options) { return {options.dim, options.representatives}; }
  static void Search(const IndexOptions& options, const std::vector<const Store*>& stores,
                     const SearchRequest& request, SearchResult* result) {
    // Of codes it is what the codes say, but for the vectors that are not coded yet.
    for (const Store* store : stores) {
      if (request.begin < store->coded_chunks() * store->chunk_blocks()) result->lse_exact = false;
    }
    const BlockRange range{request.begin, request.end, stores.front()->chunk_blocks()};
    const ExactSearch search{options, {}, stores, request, result, range};
    request.rows < kManyRows ? SearchFewCodes(search) : SearchManyRows(search);
  }
};

struct Lists {
  static constexpr bool kMayWait = false;
  using Store = ListStore;
  static constexpr std::string_view kName = "lists";
  static Store Make(const IndexOptions& options) {
    return {options.dtype, options.dim, options.representatives, kLeastListed};
  }
  static void Search(const IndexOptions& options, const std::vector<const Store*>& stores,
                     const SearchRequest& request, SearchResult* result) {
    const auto listed = std::count_if(stores.begin(), stores.end(),
                                      [](const Store* store) { return store->listed(); });
    if (listed == std::ssize(stores)) {
      result->lse_exact = false;
      SearchLists({options, stores, request, result});
    } else if (listed == 0) {
      std::vector<const RepresentativeStore*> unlisted;
      for (const Store* store : stores) unlisted.push_back(&store->unlisted());
      Exact::Search(options, unlisted, request, result);
    } else {
      SearchApart(options, stores, request, result);
    }
  }

 private:
  // Partition by partition, where some have lists and some do not yet.
  static void SearchApart(const IndexOptions& options, const std::vector<const Store*>& stores,
                          const SearchRequest& request, SearchResult* result) {
    const auto choices = int64_t{result->groups} * result->k;
    for (int32_t p = 0; p < request.partition_count; ++p) {
      SearchRequest one = request;
      one.first_partition += p;
      one.partition_count = 1;
      one.queries += int64_t{p} * request.rows * options.dim;
      if (one.other_lse != nullptr) one.other_lse += int64_t{p} * request.rows;
      SearchResult part;
      part.groups = result->groups;
      part.k = result->k;
      part.ordinals.resize(static_cast<size_t>(choices));
      part.log_weights.resize(static_cast<size_t>(choices));
      const auto lse = result->lse.begin() + int64_t{p} * request.rows;
      part.lse.assign(lse, lse + request.rows);
      Search(options, {stores[static_cast<size_t>(p)]}, one, &part);
      std::copy(part.ordinals.begin(), part.ordinals.end(), result->ordinals.begin() + p * choices);
      std::copy(part.log_weights.begin(), part.log_weights.end(),
                result->log_weights.begin() + p * choices);
      std::copy(part.lse.begin(), part.lse.end(), lse);
      result->lse_exact = result->lse_exact && part.lse_exact;
    }
  }
};

// Lists where they are worth having.
struct Auto : Lists {
  static constexpr bool kMayWait = true;
  static constexpr std::string_view kName = "auto";
  static Store Make(const IndexOptions& options) {
    return {options.dtype, options.dim, options.representatives, kListedFrom};
  }
};

template <class Kind>
class StoreIndex final : public LandmarkIndex {
 public:
  using Store = typename Kind::Store;

  explicit StoreIndex(const IndexOptions& options) : options_(options) {
    stores_.reserve(static_cast<size_t>(options.partitions));
    for (int32_t i = 0; i < options.partitions; ++i) stores_.push_back(Kind::Make(options));
  }

  Status Add(int32_t first_partition, int32_t partition_count, int64_t count,
             const float* vectors) override {
    return Append(first_partition, partition_count, count, vectors, false);
  }
  Status Load(int32_t first_partition, int32_t partition_count, int64_t count,
              const float* vectors) override {
    return Append(first_partition, partition_count, count, vectors, true);
  }
  void Settle(int32_t partitions) override;
  void Keep() override;
  void Truncate(int32_t first_partition, int32_t partition_count, int64_t size) override;
  int64_t size(int32_t partition) const override {
    CAIRN_CHECK(partition >= 0 && partition < options_.partitions);
    return stores_[static_cast<size_t>(partition)].size();
  }
  Status Search(const SearchRequest& request, SearchResult* result) override;
  std::string_view name() const override { return Kind::kName; }
  uint64_t memory_bytes() const override { return memory_bytes_.load(); }

 private:
  Status Append(int32_t first_partition, int32_t partition_count, int64_t count,
                const float* vectors, bool loaded);

  const IndexOptions options_;
  std::vector<Store> stores_;
  std::atomic<uint64_t> memory_bytes_{0};
};

template <class Kind>
Status StoreIndex<Kind>::Append(int32_t first_partition, int32_t partition_count, int64_t count,
                                const float* vectors, [[maybe_unused]] bool loaded) {
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
    const float* const of_partition = vectors + static_cast<size_t>(i) * floats;
    if constexpr (Kind::kMayWait) {
      store.Append(count, of_partition, loaded);
    } else {
      store.Append(count, of_partition);
    }
    memory_bytes_ += store.memory_bytes() - before;
  }
  return Ok();
}

template <class Kind>
void StoreIndex<Kind>::Settle([[maybe_unused]] int32_t partitions) {
  if constexpr (Kind::kMayWait) {
    std::vector<Store*> waiting;
    for (Store& store : stores_) {
      if (store.waits() && std::ssize(waiting) < partitions) waiting.push_back(&store);
    }
    ParallelFor(std::ssize(waiting), [&](int64_t i) {
      Store& store = *waiting[static_cast<size_t>(i)];
      const uint64_t before = store.memory_bytes();
      store.Settle();
      memory_bytes_ += store.memory_bytes() - before;
    });
  }
}

template <class Kind>
void StoreIndex<Kind>::Keep() {
  for ([[maybe_unused]] Store& store : stores_) {
    if constexpr (requires { store.Keep(); }) {
      const uint64_t before = store.memory_bytes();
      store.Keep();
      memory_bytes_ -= before - store.memory_bytes();
    }
  }
}

template <class Kind>
void StoreIndex<Kind>::Truncate(int32_t first_partition, int32_t partition_count, int64_t size) {
  for (int32_t i = 0; i < partition_count; ++i) {
    CAIRN_CHECK(first_partition >= 0 && first_partition + i < options_.partitions);
    Store& store = stores_[static_cast<size_t>(first_partition + i)];
    const uint64_t before = store.memory_bytes();
    store.Truncate(size);
    memory_bytes_ += store.memory_bytes() - before;  // what was kept may have been less compact
  }
}

template <class Kind>
Status StoreIndex<Kind>::Search(const SearchRequest& request, SearchResult* result) {
  int64_t smallest = size(request.first_partition);
  for (int32_t i = 1; i < request.partition_count; ++i) {
    smallest = std::min(smallest, size(request.first_partition + i));
  }
  CAIRN_TRY(PrepareSearch(options_, request, smallest, result));
  if (request.end == request.begin || request.rows == 0) return Ok();
  std::vector<const Store*> stores;
  for (int32_t i = 0; i < request.partition_count; ++i) {
    stores.push_back(&stores_[static_cast<size_t>(request.first_partition + i)]);
  }
  Kind::Search(options_, stores, request, result);
  return Ok();
}

}  // namespace

std::unique_ptr<LandmarkIndex> MakeExactIndex(const IndexOptions& options) {
  return std::make_unique<StoreIndex<Exact>>(options);
}

std::unique_ptr<LandmarkIndex> MakeInt8Index(const IndexOptions& options) {
  return std::make_unique<StoreIndex<Int8>>(options);
}

std::unique_ptr<LandmarkIndex> MakeListIndex(const IndexOptions& options) {
  return std::make_unique<StoreIndex<Lists>>(options);
}

std::unique_ptr<LandmarkIndex> MakeAutoIndex(const IndexOptions& options) {
  return std::make_unique<StoreIndex<Auto>>(options);
}

}  // namespace cairn
