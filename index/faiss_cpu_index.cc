#include "index/faiss_cpu_index.h"

#include <faiss/IndexFlat.h>
#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/utils/distances.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <limits>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/parallel.h"
#include "index/candidates.h"
#include "index/search_request.h"

// OpenBLAS with threads of its own would compete with ParallelFor's. Other BLAS lack the function.
extern "C" void openblas_set_num_threads(int threads) __attribute__((weak));

namespace cairn {
namespace {

constexpr float kEmpty = -std::numeric_limits<float>::infinity();
constexpr int64_t kTileRows = 64;    // rows of one call to FAISS
constexpr int64_t kLeastFetch = 64;  // blocks' worth of candidates fetched per row, if there are

// One task's memory.
struct RowScratch {
  std::vector<float> distances;  // [rows, fetch]
  std::vector<int64_t> labels;   // [rows, fetch]
  std::vector<int64_t> found;    // blocks, of one row
};

class FaissCpuIndex final : public LandmarkIndex {
 public:
  explicit FaissCpuIndex(const IndexOptions& options) : options_(options) {
    stores_.reserve(static_cast<size_t>(options.partitions));
    for (int32_t i = 0; i < options.partitions; ++i) stores_.emplace_back(options.dim);
  }

  Status Add(int32_t first_partition, int32_t partition_count, int64_t count,
             const float* vectors) override;
  void Truncate(int32_t first_partition, int32_t partition_count, int64_t size) override;
  int64_t size(int32_t partition) const override {
    CAIRN_CHECK(partition >= 0 && partition < options_.partitions);
    return stores_[static_cast<size_t>(partition)].ntotal / options_.representatives;
  }
  Status Search(const SearchRequest& request, SearchResult* result) override;
  std::string_view name() const override { return "faiss"; }
  uint64_t memory_bytes() const override { return memory_bytes_.load(); }

 private:
  void Resize(int32_t partition, int64_t size);
  std::vector<float> Rounded(const float* numbers, size_t count) const;
  bool SearchTile(const SearchRequest& request, const float* queries, int64_t partition,
                  int64_t first, int64_t rows, SearchResult* result, Candidate* chosen) const;
  bool SearchRow(const float* query, const float* vectors, int64_t blocks, int64_t fetched,
                 const int64_t* labels, int32_t k, float* lse, Candidate* chosen) const;
  float BlockScore(const float* query, const float* vectors, int64_t block) const;

  const IndexOptions options_;
  std::vector<faiss::IndexFlatIP> stores_;
  std::atomic<uint64_t> memory_bytes_{0};
};

thread_local RowScratch row_scratch;

uint64_t BytesOf(const faiss::IndexFlatIP& store) { return store.codes.capacity(); }

// As the representatives are rounded to bf16 if the options say so, queries are: then both kinds of
// index score the same numbers. FAISS keeps f32.
std::vector<float> FaissCpuIndex::Rounded(const float* numbers, size_t count) const {
  std::vector<float> rounded(numbers, numbers + count);
  if (options_.dtype == DType::kBF16) {
    for (float& x : rounded) x = Bf16ToFloat(FloatToBf16(x));
  }
  return rounded;
}

void FaissCpuIndex::Resize(int32_t partition, int64_t size) {
  faiss::IndexFlatIP& store = stores_[static_cast<size_t>(partition)];
  const int64_t kept = size * options_.representatives;
  if (kept >= store.ntotal) return;
  store.remove_ids(faiss::IDSelectorRange(kept, store.ntotal));
}

Status FaissCpuIndex::Add(int32_t first_partition, int32_t partition_count, int64_t count,
                          const float* vectors) {
  CAIRN_CHECK(count >= 0 && partition_count >= 0);
  if (partition_count == 0 || count == 0) return Ok();
  const int64_t vectors_each = count * options_.representatives;
  const auto floats = static_cast<size_t>(vectors_each) * static_cast<size_t>(options_.dim);
  CAIRN_TRY(CheckFinite({vectors, floats * static_cast<size_t>(partition_count)}, options_.dtype,
                        "the blocks' representatives"));
  const int64_t before = size(first_partition);
  for (int32_t i = 0; i < partition_count; ++i) CAIRN_CHECK(size(first_partition + i) == before);
  try {
    for (int32_t i = 0; i < partition_count; ++i) {
      const int32_t partition = first_partition + i;
      faiss::IndexFlatIP& store = stores_[static_cast<size_t>(partition)];
      const uint64_t bytes = BytesOf(store);
      const std::vector<float> rounded = Rounded(vectors + static_cast<size_t>(i) * floats, floats);
      store.add(vectors_each, rounded.data());
      memory_bytes_ += BytesOf(store) - bytes;
    }
  } catch (const std::exception& error) {
    Truncate(first_partition, partition_count, before);  // all partitions grow or none does
    return Fail(Errc::kResource, "FAISS could not add {} blocks: {}; use the exact index", count,
                error.what());
  }
  return Ok();
}

void FaissCpuIndex::Truncate(int32_t first_partition, int32_t partition_count, int64_t size) {
  CAIRN_CHECK(size >= 0);
  for (int32_t i = 0; i < partition_count; ++i) {
    CAIRN_CHECK(first_partition >= 0 && first_partition + i < options_.partitions);
    Resize(first_partition + i, size);
  }
}

float FaissCpuIndex::BlockScore(const float* query, const float* vectors, int64_t block) const {
  const auto dim = static_cast<size_t>(options_.dim);
  float best = kEmpty;
  for (int64_t i = 0; i < options_.representatives; ++i) {
    const float* vector = vectors + (block * options_.representatives + i) * options_.dim;
    best = std::max(best, faiss::fvec_inner_product(query, vector, dim));
  }
  return best;
}

// One row. Products of matrices may round equal vectors differently, so that a tie at the border,
// or one within rounding, may hide blocks with lower ordinals.
bool FaissCpuIndex::SearchRow(const float* query, const float* vectors, int64_t blocks,
                              int64_t fetched, const int64_t* labels, int32_t k, float* lse,
                              Candidate* chosen) const {
  std::vector<int64_t>& found = row_scratch.found;
  found.clear();
  float border = -kEmpty;  // no vector that was not fetched scores more, but for rounding
  for (int64_t i = 0; i < fetched; ++i) {
    const int64_t vector = labels[i];
    if (vector < 0) continue;
    found.push_back(vector / options_.representatives);
    border = std::min(border, faiss::fvec_inner_product(query, vectors + vector * options_.dim,
                                                        static_cast<size_t>(options_.dim)));
  }
  const float margin = 1e-4f * (1.0f + std::fabs(border));
  return ChooseOfRow(
      blocks, k, &found, border + margin,
      [&](int64_t first, int64_t count, float* scores) {
        for (int64_t b = 0; b < count; ++b) scores[b] = BlockScore(query, vectors, first + b);
      },
      lse, chosen);
}

// Rows [first, first + rows) of a partition; `chosen` is [rows, k]. True if every block was looked
// at for every row.
bool FaissCpuIndex::SearchTile(const SearchRequest& request, const float* queries,
                               int64_t partition, int64_t first, int64_t rows, SearchResult* result,
                               Candidate* chosen) const {
  const auto& store = stores_[static_cast<size_t>(request.first_partition + partition)];
  const int64_t blocks = request.end - request.begin;
  const float* vectors = store.get_xb() + request.begin * options_.representatives * options_.dim;
  const int64_t wanted = std::max(kLeastFetch, int64_t{2} * result->k);
  const int64_t fetch = std::min(wanted, blocks) * options_.representatives;
  RowScratch& scratch = row_scratch;
  scratch.distances.resize(static_cast<size_t>(rows * fetch));
  scratch.labels.resize(static_cast<size_t>(rows * fetch));
  const float* query = queries + (partition * request.rows + first) * options_.dim;
  faiss::knn_inner_product(
      query, vectors, static_cast<size_t>(options_.dim), static_cast<size_t>(rows),
      static_cast<size_t>(blocks * options_.representatives), static_cast<size_t>(fetch),
      scratch.distances.data(), scratch.labels.data());
  bool everything = true;
  for (int64_t row = 0; row < rows; ++row) {
    float lse;
    const bool all =
        SearchRow(query + row * options_.dim, vectors, blocks, fetch,
                  scratch.labels.data() + row * fetch, result->k, &lse, chosen + row * result->k);
    everything = everything && all;
    float& joined = result->lse[static_cast<size_t>(partition * request.rows + first + row)];
    joined = JoinLse(lse, joined);
  }
  return everything;
}

Status FaissCpuIndex::Search(const SearchRequest& request, SearchResult* result) {
  int64_t smallest = size(request.first_partition);
  for (int32_t i = 1; i < request.partition_count; ++i) {
    smallest = std::min(smallest, size(request.first_partition + i));
  }
  CAIRN_TRY(PrepareSearch(options_, request, smallest, result));
  if (request.end == request.begin || request.rows == 0) return Ok();
  const int64_t all_rows = int64_t{request.partition_count} * request.rows;
  const std::vector<float> queries =
      Rounded(request.queries, static_cast<size_t>(all_rows * options_.dim));
  std::vector<Candidate> chosen(static_cast<size_t>(all_rows * result->k));
  const int64_t tiles = (request.rows + kTileRows - 1) / kTileRows;
  std::vector<char> exact(static_cast<size_t>(request.partition_count * tiles), 1);
  std::atomic<bool> failed{false};
  ParallelFor(request.partition_count * tiles, [&](int64_t task) {
    const int64_t partition = task / tiles;
    const int64_t first = task % tiles * kTileRows;
    const int64_t rows = std::min(kTileRows, request.rows - first);
    try {
      exact[static_cast<size_t>(task)] =
          SearchTile(request, queries.data(), partition, first, rows, result,
                     chosen.data() + (partition * request.rows + first) * result->k);
    } catch (const std::exception&) {
      failed = true;
    }
  });
  if (failed) {
    return Fail(Errc::kResource,
                "FAISS failed to search {} rows among {} blocks; use the exact index", request.rows,
                request.end - request.begin);
  }
  result->lse_exact = std::find(exact.begin(), exact.end(), 0) == exact.end();
  if (result->k == 0) return Ok();
  ParallelFor(int64_t{request.partition_count} * result->groups, [&](int64_t task) {
    FoldGroup(request, task / result->groups, task % result->groups, chosen.data(), result);
  });
  return Ok();
}

}  // namespace

Result<std::unique_ptr<LandmarkIndex>> MakeFaissCpuIndex(const IndexOptions& options) {
  if (openblas_set_num_threads != nullptr) openblas_set_num_threads(1);
  faiss::distance_compute_blas_threshold = 1;  // FAISS's own loop for few queries may be scalar
  try {
    return std::make_unique<FaissCpuIndex>(options);
  } catch (const std::exception& error) {
    return Fail(Errc::kResource, "FAISS could not make an index of {} partitions: {}",
                options.partitions, error.what());
  }
}

std::string FaissVersion() {
  return std::to_string(FAISS_VERSION_MAJOR) + "." + std::to_string(FAISS_VERSION_MINOR) + "." +
         std::to_string(FAISS_VERSION_PATCH);
}

}  // namespace cairn
