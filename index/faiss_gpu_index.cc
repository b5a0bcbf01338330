#include "index/faiss_gpu_index.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/parallel.h"
#include "index/candidates.h"
#include "index/faiss_gpu.h"
#include "index/faiss_gpu_rows.h"
#include "index/representative_store.h"
#include "index/score_kernels.h"
#include "index/search_request.h"

namespace cairn {
namespace {

constexpr int64_t kLeastVectors = 64;       // that there is room for in a partition
constexpr size_t kLeastStaged = 256 << 10;  // bytes

class FaissGpuIndex final : public LandmarkIndex {
 public:
  FaissGpuIndex(const IndexOptions& options, int32_t heads, Device& device)
      : options_(options), heads_(heads), row_type_(RowType(options.dtype)), device_(device) {
    CAIRN_CHECK(heads >= 1 && options.partitions % heads == 0);
    for (int32_t p = 0; p < options.partitions; ++p) {
      held_.emplace_back(options.dtype, options.dim, options.representatives);
    }
    largest_norms_.resize(held_.size());
    laid_.resize(held_.size() / static_cast<size_t>(heads));
  }
  Status Open() {
    CAIRN_TRY(stream_, device_.MakeStream());
    CAIRN_TRY(faiss_, FaissGpu::Make(device_, stream_.get()));
    return Ok();
  }

  Status Reserve(int64_t blocks) override {
    const std::lock_guard lock(mutex_);
    return blocks == 0 ? Ok() : MakeRoom(blocks);
  }
  Status Add(int32_t first_partition, int32_t partition_count, int64_t count,
             const float* vectors) override;
  void Truncate(int32_t first_partition, int32_t partition_count, int64_t size) override;
  int64_t size(int32_t partition) const override {
    const std::lock_guard lock(mutex_);
    return Held(partition).size();
  }
  Status Search(const SearchRequest& request, SearchResult* result) override;
  std::string_view name() const override { return "faiss-gpu"; }
  uint64_t memory_bytes() const override;

 private:
  // Heads of a layer, and which of the request's partitions the first is.
  struct Heads {
    int32_t layer, first, count, partition;
  };
  // What rows of a request are searched for.
  struct Rows {
    const SearchRequest& request;
    const float* queries;  // rounded as vectors are
    Candidate* chosen;     // [P, rows, k]
  };

  const RepresentativeStore& Held(int32_t partition) const {
    return held_[static_cast<size_t>(partition)];
  }
  // Of the layer's row of so many vectors of each head.
  size_t RowBytes(int64_t vectors) const {
    return static_cast<size_t>(vectors * heads_ * options_.dim) * DTypeBytes(row_type_);
  }
  std::byte* At(int32_t layer, int64_t block) const {
    return stored_.data() + RowBytes((layer * capacity_ + block) * options_.representatives);
  }
  std::vector<Heads> HeadsOf(int32_t first_partition, int32_t partition_count) const;
  Status CheckHalves(const float* vectors, size_t count) const;
  Status WaitAfter(const Status& put);
  Result<std::byte*> Staging(size_t bytes);
  Status MakeRoom(int64_t blocks);
  Status AddHeads(const Heads& heads, int64_t size, int64_t count, const float* vectors);
  Status Lay(const Heads& heads, int64_t size, int64_t count, const float* vectors, bool whole);
  void Hold(int32_t partition, int64_t count, const float* vectors);
  Status SearchHeads(const Heads& heads, const Rows& rows, SearchResult* result);
  bool ChooseRow(const Rows& rows, int64_t row, int32_t fetched, const float* scores,
                 const int32_t* labels, int32_t k, float* lse) const;
  void ScoreBlocks(const RepresentativeStore& held, const float* query, int64_t first,
                   int64_t count, float* scores) const;

  const IndexOptions options_;
  const int32_t heads_;
  const DType row_type_;
  Device& device_;
  mutable std::mutex mutex_;
  std::vector<RepresentativeStore> held_;  // of partitions
  std::vector<double> largest_norms_;      // of a vector of a partition, or more
  std::vector<int64_t> laid_;  // blocks of a layer whose whole rows were written, and are finite
  int64_t capacity_ = 0;       // blocks of a layer
  DeviceBuffer stored_;        // [layers, capacity, R, heads, D]
  PinnedBuffer staged_;        // what is added
  size_t staged_bytes_ = 0;    // of it, that may be on their way
  PinnedBuffer there_, back_;  // of a search
  DeviceBuffer there_on_device_, back_on_device_;
  DeviceStream stream_;
  std::unique_ptr<FaissGpu> faiss_;  // goes first
};

Status GrowTo(DeviceBuffer* buffer, size_t bytes, Device& device) {
  if (buffer->bytes() >= bytes) return Ok();
  CAIRN_TRY(*buffer, device.Allocate(std::max(bytes, buffer->bytes() / 2 * 3)));
  return Ok();
}
Status GrowTo(PinnedBuffer* buffer, size_t bytes, Device& device) {
  if (buffer->bytes() >= bytes) return Ok();
  CAIRN_TRY(*buffer, device.AllocatePinned(std::max(bytes, buffer->bytes() / 2 * 3)));
  return Ok();
}

double Norm(const float* numbers, int32_t dim) {
  double sum = 0;
  for (int32_t i = 0; i < dim; ++i) sum += static_cast<double>(numbers[i]) * numbers[i];
  return std::sqrt(sum);
}

uint64_t FaissGpuIndex::memory_bytes() const {
  const std::lock_guard lock(mutex_);
  uint64_t bytes = stored_.bytes();
  for (const RepresentativeStore& held : held_) bytes += held.memory_bytes();
  return bytes;
}

std::vector<FaissGpuIndex::Heads> FaissGpuIndex::HeadsOf(int32_t first_partition,
                                                         int32_t partition_count) const {
  CAIRN_CHECK(first_partition >= 0 && first_partition + partition_count <= options_.partitions);
  std::vector<Heads> all;
  for (int32_t done = 0; done < partition_count;) {
    const int32_t partition = first_partition + done;
    const int32_t first = partition % heads_;
    const int32_t count = std::min(heads_ - first, partition_count - done);
    all.push_back({partition / heads_, first, count, done});
    done += count;
  }
  return all;
}

Status FaissGpuIndex::WaitAfter(const Status& put) {
  CAIRN_TRY(stream_.WaitAfter(put));
  staged_bytes_ = 0;
  return Ok();
}

// Pinned memory for what is added, whose copy need not be waited for while there is more of it.
Result<std::byte*> FaissGpuIndex::Staging(size_t bytes) {
  if (staged_bytes_ + bytes > staged_.bytes()) {
    CAIRN_TRY(WaitAfter(Ok()));
    CAIRN_TRY(GrowTo(&staged_, std::max(bytes, kLeastStaged), device_));
  }
  std::byte* const at = staged_.data() + staged_bytes_;
  staged_bytes_ += bytes;
  return at;
}

// For so many blocks of every layer.
Status FaissGpuIndex::MakeRoom(int64_t blocks) {
  if (blocks <= capacity_) return Ok();
  const int64_t capacity =
      std::max({blocks, capacity_ + capacity_ / 2, kLeastVectors / options_.representatives});
  if (capacity > std::numeric_limits<int32_t>::max() / options_.representatives) {
    return Fail(Errc::kUnsupported,
                "FAISS on a GPU numbers 2^31 vectors at most, not {} blocks of {}; use --index "
                "auto",
                blocks, options_.representatives);
  }
  const size_t each = RowBytes(capacity * options_.representatives);
  CAIRN_TRY(auto grown, device_.Allocate(laid_.size() * each));
  if (capacity_ > 0) {
    const size_t held = RowBytes(capacity_ * options_.representatives);
    CAIRN_TRY(
        stream_.CopyPiecesOnDevice(grown.data(), stored_.data(), {held, laid_.size(), each, held}));
    CAIRN_TRY(WaitAfter(Ok()));
  }
  stored_ = std::move(grown);
  capacity_ = capacity;
  return Ok();
}

Status FaissGpuIndex::CheckHalves(const float* vectors, size_t count) const {
  if (row_type_ == DType::kF32) return Ok();
  const auto too_large = [](float x) {
    return std::fabs(Bf16ToFloat(FloatToBf16(x))) > kLargestHalf;
  };
  if (std::none_of(vectors, vectors + count, too_large)) return Ok();
  return Fail(Errc::kUnsupported,
              "the index's vectors hold numbers above {}, which FAISS on a GPU does not keep; use "
              "--index auto",
              kLargestHalf);
}

Status FaissGpuIndex::Add(int32_t first_partition, int32_t partition_count, int64_t count,
                          const float* vectors) {
  const std::lock_guard lock(mutex_);
  const std::vector<Heads> all = HeadsOf(first_partition, partition_count);
  if (count == 0 || all.empty()) return Ok();
  const int64_t size = Held(first_partition).size();
  const size_t each = static_cast<size_t>(count * options_.representatives * options_.dim);
  const size_t numbers = static_cast<size_t>(partition_count) * each;
  CAIRN_TRY(CheckFinite({vectors, numbers}, options_.dtype, "the index's vectors"));
  CAIRN_TRY(CheckHalves(vectors, numbers));
  CAIRN_TRY(MakeRoom(size + count));
  for (const Heads& heads : all) {
    CAIRN_TRY(AddHeads(heads, size, count, vectors + static_cast<size_t>(heads.partition) * each));
  }
  for (int32_t i = 0; i < partition_count; ++i) {
    CAIRN_CHECK(Held(first_partition + i).size() == size);
    Hold(first_partition + i, count, vectors + static_cast<size_t>(i) * each);
  }
  return Ok();
}

// A row that nobody wrote yet is written whole: a query's zeros must not meet what is no number.
Status FaissGpuIndex::AddHeads(const Heads& heads, int64_t size, int64_t count,
                               const float* vectors) {
  int64_t& laid = laid_[static_cast<size_t>(heads.layer)];
  const int64_t beside = std::clamp<int64_t>(laid - size, 0, count);
  const int64_t block_numbers = options_.representatives * int64_t{options_.dim};
  std::vector<float> part;
  for (const auto& [from, to] : {std::pair{int64_t{0}, beside}, std::pair{beside, count}}) {
    if (from == to) continue;
    const float* numbers = vectors;
    if (to - from < count) {
      part.clear();
      for (int64_t h = 0; h < heads.count; ++h) {
        const float* head = vectors + h * count * block_numbers;
        part.insert(part.end(), head + from * block_numbers, head + to * block_numbers);
      }
      numbers = part.data();
    }
    CAIRN_TRY(Lay(heads, size + from, to - from, numbers, to > beside));
  }
  laid = std::max(laid, size + count);
  return Ok();
}

Status FaissGpuIndex::Lay(const Heads& heads, int64_t size, int64_t count, const float* vectors,
                          bool whole) {
  const int32_t width = whole ? heads_ : heads.count;
  const int32_t at = whole ? heads.first : 0;
  const auto rows = static_cast<size_t>(count * options_.representatives);
  const size_t piece =
      static_cast<size_t>(width) * static_cast<size_t>(options_.dim) * DTypeBytes(row_type_);
  CAIRN_TRY(std::byte* const staged, Staging(rows * piece));
  std::vector<float> rounded(vectors, vectors + rows * static_cast<size_t>(heads.count) *
                                                    static_cast<size_t>(options_.dim));
  if (options_.dtype == DType::kBF16) {
    for (float& x : rounded) x = Bf16ToFloat(FloatToBf16(x));
  }
  LayRows(row_type_, options_.dim, heads.count, static_cast<int64_t>(rows), rounded.data(), width,
          at, staged);
  const size_t place =
      whole ? 0 : static_cast<size_t>(heads.first) * (RowBytes(1) / static_cast<size_t>(heads_));
  return stream_.CopyPiecesToDevice(At(heads.layer, size) + place, staged,
                                    {piece, rows, RowBytes(1), piece});
}

void FaissGpuIndex::Hold(int32_t partition, int64_t count, const float* vectors) {
  held_[static_cast<size_t>(partition)].Append(count, vectors);
  double& largest = largest_norms_[static_cast<size_t>(partition)];
  for (int64_t i = 0; i < count * options_.representatives; ++i) {
    largest = std::max(largest, Norm(vectors + i * options_.dim, options_.dim));
  }
}

void FaissGpuIndex::Truncate(int32_t first_partition, int32_t partition_count, int64_t size) {
  CAIRN_CHECK(size >= 0);
  const std::lock_guard lock(mutex_);
  CAIRN_CHECK(first_partition >= 0 && first_partition + partition_count <= options_.partitions);
  for (int32_t p = first_partition; p < first_partition + partition_count; ++p) {
    held_[static_cast<size_t>(p)].Truncate(size);
    if (size == 0) largest_norms_[static_cast<size_t>(p)] = 0;
  }
}

void FaissGpuIndex::ScoreBlocks(const RepresentativeStore& held, const float* query, int64_t first,
                                int64_t count, float* scores) const {
  const int64_t chunk = held.chunk_blocks();
  const size_t block_bytes = static_cast<size_t>(options_.representatives) *
                             static_cast<size_t>(options_.dim) * DTypeBytes(held.type());
  thread_local std::vector<float> of_vectors;
  for (int64_t done = 0; done < count;) {
    const int64_t block = first + done;
    const int64_t here = std::min(chunk - block % chunk, count - done);
    const int64_t vectors = here * options_.representatives;
    of_vectors.resize(static_cast<size_t>(vectors) + 3);
    ScanScores(held.type(),
               held.chunk(block / chunk) + static_cast<size_t>(block % chunk) * block_bytes,
               vectors, options_.dim, query, 1, of_vectors.data(), vectors + 3);
    FoldScores(of_vectors.data(), options_.representatives, here, scores + done);
    done += here;
  }
}

// `row` is counted over the request's partitions.
bool FaissGpuIndex::ChooseRow(const Rows& rows, int64_t row, int32_t fetched, const float* scores,
                              const int32_t* labels, int32_t k, float* lse) const {
  const SearchRequest& request = rows.request;
  const int32_t partition = request.first_partition + static_cast<int32_t>(row / request.rows);
  const float* query = rows.queries + row * options_.dim;
  const int64_t blocks = request.end - request.begin;
  thread_local std::vector<int64_t> found;
  found.clear();
  for (int32_t i = 0; i < fetched; ++i) {
    const int64_t block = labels[i] / options_.representatives;
    if (labels[i] >= 0 && block < blocks) found.push_back(block);
  }
  const float scale = QueryScale(row_type_, {query, static_cast<size_t>(options_.dim)});
  const float border = scores[fetched - 1] / scale;
  const float error = ScoreError(row_type_, options_.dim, Norm(query, options_.dim),
                                 largest_norms_[static_cast<size_t>(partition)]);
  const RepresentativeStore& held = Held(partition);
  return ChooseOfRow(
      blocks, k, &found, border + error,
      [&](int64_t first, int64_t count, float* out) {
        ScoreBlocks(held, query, request.begin + first, count, out);
      },
      lse, rows.chosen + row * k);
}

Status FaissGpuIndex::SearchHeads(const Heads& heads, const Rows& rows, SearchResult* result) {
  const SearchRequest& request = rows.request;
  const int64_t blocks = request.end - request.begin;
  const int32_t fetched = VectorsToFind(result->k, blocks, options_.representatives);
  const int64_t count = int64_t{heads.count} * request.rows;
  const int64_t first = int64_t{heads.partition} * request.rows;
  const size_t there = static_cast<size_t>(count) * RowBytes(1);
  const auto found = static_cast<size_t>(count * fetched);
  const size_t back = found * (sizeof(float) + sizeof(int32_t));
  CAIRN_TRY(GrowTo(&there_, there, device_));
  CAIRN_TRY(GrowTo(&there_on_device_, there, device_));
  CAIRN_TRY(GrowTo(&back_, back, device_));
  CAIRN_TRY(GrowTo(&back_on_device_, back, device_));
  LayQueries(row_type_, options_.dim, heads.count, request.rows,
             rows.queries + first * options_.dim, heads_, heads.first, there_.data());
  const auto put = [&]() -> Status {
    CAIRN_TRY(stream_.CopyToDevice(there_on_device_.data(), there_.data(), there));
    auto* const scores = reinterpret_cast<float*>(back_on_device_.data());
    CAIRN_TRY(faiss_->Search({.type = row_type_,
                              .dim = heads_ * options_.dim,
                              .vectors = At(heads.layer, request.begin),
                              .count = blocks * options_.representatives,
                              .queries = there_on_device_.data(),
                              .rows = count,
                              .k = fetched,
                              .scores = scores,
                              .labels = reinterpret_cast<int32_t*>(scores + found)}));
    return stream_.CopyToHost(back_.data(), back_on_device_.data(), back);
  };
  CAIRN_TRY(WaitAfter(put()));
  const auto* const scores_here = reinterpret_cast<const float*>(back_.data());
  const auto* const labels_here = reinterpret_cast<const int32_t*>(scores_here + found);
  std::atomic<bool> exact{true};
  ParallelFor(count, [&](int64_t i) {
    float lse;
    if (!ChooseRow(rows, first + i, fetched, scores_here + i * fetched, labels_here + i * fetched,
                   result->k, &lse)) {
      exact = false;
    }
    float& joined = result->lse[static_cast<size_t>(first + i)];
    joined = JoinLse(lse, joined);
  });
  result->lse_exact = result->lse_exact && exact;
  return Ok();
}

Status FaissGpuIndex::Search(const SearchRequest& request, SearchResult* result) {
  const std::lock_guard lock(mutex_);
  int64_t smallest = std::numeric_limits<int64_t>::max();
  const std::vector<Heads> all = HeadsOf(request.first_partition, request.partition_count);
  for (int32_t i = 0; i < request.partition_count; ++i) {
    smallest = std::min(smallest, Held(request.first_partition + i).size());
  }
  CAIRN_TRY(PrepareSearch(options_, request, smallest, result));
  if (request.end == request.begin || request.rows == 0) return Ok();
  CAIRN_TRY(device_.Use());
  const int64_t all_rows = int64_t{request.partition_count} * request.rows;
  std::vector<float> queries(request.queries, request.queries + all_rows * options_.dim);
  if (options_.dtype == DType::kBF16) {
    for (float& x : queries) x = Bf16ToFloat(FloatToBf16(x));
  }
  std::vector<Candidate> chosen(static_cast<size_t>(all_rows * result->k));
  for (const Heads& heads : all) {
    CAIRN_TRY(SearchHeads(heads, {request, queries.data(), chosen.data()}, result));
  }
  if (result->k == 0) return Ok();
  ParallelFor(int64_t{request.partition_count} * result->groups, [&](int64_t task) {
    FoldGroup(request, task / result->groups, task % result->groups, chosen.data(), result);
  });
  return Ok();
}

}  // namespace

Result<std::unique_ptr<LandmarkIndex>> MakeFaissGpuIndex(const IndexOptions& options, int32_t heads,
                                                         Device& device) {
  auto index = std::make_unique<FaissGpuIndex>(options, heads, device);
  CAIRN_TRY(index->Open());
  return std::unique_ptr<LandmarkIndex>(std::move(index));
}

}  // namespace cairn
