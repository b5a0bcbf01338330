#include "engine/device_index.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "engine/device_buffers.h"
#include "index/search_request.h"

namespace cairn {
namespace {

constexpr int64_t kLeastVectors = 64;       // that there is room for in a partition
constexpr int64_t kManyGrown = 4096;        // blocks
constexpr size_t kLeastStaged = 256 << 10;  // bytes

float* Floats(const DeviceBuffer& buffer, size_t place) {
  return reinterpret_cast<float*>(buffer.data()) + place;
}
float* Floats(const PinnedBuffer& buffer, size_t place) {
  return reinterpret_cast<float*>(buffer.data()) + place;
}

}  // namespace

DeviceIndex::DeviceIndex(const IndexOptions& options, Device& device)
    : options_(options),
      padded_dim_(cuda::PaddedDim(options.dim)),
      device_(device),
      sizes_(static_cast<size_t>(options.partitions)) {}

Result<std::unique_ptr<LandmarkIndex>> DeviceIndex::Make(const IndexOptions& options,
                                                         Device& device) {
  std::unique_ptr<DeviceIndex> index(new DeviceIndex(options, device));
  if (options.kind == IndexKind::kInt8) {
    index->codes_ = std::make_unique<DeviceCodes>(options, device);
    index->tails_ = std::make_unique<ChunkTails>(options.partitions, index->codes_->chunk_blocks(),
                                                 index->block_bytes());
  }
  // Refuses what it would refuse later.
  CAIRN_TRY(cuda::ScoreVectors(
      {.dim = options.dim, .padded_dim = index->padded_dim_, .dtype = options.dtype}, nullptr));
  CAIRN_TRY(index->stream_, device.MakeStream());
  CAIRN_TRY(index->added_, device.MakeEvent());
  const size_t arrived = index->sizes_.size() * sizeof(int32_t);
  CAIRN_TRY(index->arrived_, device.Allocate(arrived));
  CAIRN_TRY(index->stream_.Fill(index->arrived_.data(), 0, arrived));
  return std::unique_ptr<LandmarkIndex>(std::move(index));
}

int64_t DeviceIndex::size(int32_t partition) const {
  const std::lock_guard lock(mutex_);
  return sizes_[static_cast<size_t>(partition)];
}

uint64_t DeviceIndex::memory_bytes() const {
  const std::lock_guard lock(mutex_);
  return stored_.bytes() + (codes_ == nullptr ? 0 : codes_->memory_bytes());
}

uint64_t DeviceIndex::version() const {
  const std::lock_guard lock(mutex_);
  return version_;
}

Status DeviceIndex::WaitAfter(const Status& put) {
  CAIRN_TRY(stream_.WaitAfter(put));
  staged_bytes_ = 0;
  return Ok();
}

// Pinned memory for what is added, whose copy need not be waited for while there is more of it.
Result<std::byte*> DeviceIndex::Staging(size_t bytes) {
  if (staged_bytes_ + bytes > staged_.bytes()) {
    CAIRN_TRY(WaitAfter(Ok()));
    CAIRN_TRY(Grow(&staged_, std::max(bytes, kLeastStaged), device_));
  }
  std::byte* const at = staged_.data() + staged_bytes_;
  staged_bytes_ += bytes;
  return at;
}

uint64_t DeviceIndex::MemoryBytes(const IndexOptions& options, int64_t blocks) {
  const auto number_bytes = static_cast<int64_t>(DTypeBytes(options.dtype));
  const int64_t vector_bytes = cuda::PaddedDim(options.dim) * number_bytes;
  const int64_t block_bytes = options.representatives * vector_bytes;
  if (options.kind != IndexKind::kInt8) {
    const int64_t least = kLeastVectors / options.representatives;
    return static_cast<uint64_t>(options.partitions * std::max(blocks, least) * block_bytes);
  }
  const int64_t plain = options.partitions * DeviceCodes::ChunkBlocks(options) * block_bytes;
  return static_cast<uint64_t>(plain) + DeviceCodes::MemoryBytes(options, blocks);
}

Status DeviceIndex::Reserve(int64_t blocks) {
  const std::lock_guard lock(mutex_);
  return blocks == 0 ? Ok() : MakeRoom(blocks);
}

// For so many blocks of every partition; where there is no room yet, for no more.
Status DeviceIndex::MakeRoom(int64_t blocks) {
  if (codes_ != nullptr) {
    CAIRN_TRY(const bool moved, codes_->Reserve(blocks, stream_));
    if (moved) ++version_;
    blocks = codes_->chunk_blocks();
  }
  if (blocks <= capacity_) return Ok();
  // Old and new are both there for a while: of many, little more.
  const int64_t more = std::min(capacity_ / 2, std::max(kManyGrown, capacity_ / 16));
  const int64_t capacity =
      codes_ != nullptr
          ? blocks
          : std::max({blocks, capacity_ + more, kLeastVectors / options_.representatives});
  const auto partitions = static_cast<size_t>(options_.partitions);
  CAIRN_TRY(auto grown,
            device_.Allocate(partitions * static_cast<size_t>(capacity) * block_bytes()));
  if (capacity_ > 0) {
    const size_t held = static_cast<size_t>(capacity_) * block_bytes();
    CAIRN_TRY(stream_.CopyPiecesOnDevice(
        grown.data(), stored_.data(),
        {held, partitions, static_cast<size_t>(capacity) * block_bytes(), held}));
    CAIRN_TRY(WaitAfter(Ok()));
  }
  stored_ = std::move(grown);
  capacity_ = capacity;
  ++version_;
  return Ok();
}

Status DeviceIndex::Append(int32_t first_partition, int32_t partition_count, int64_t size,
                           int64_t count, int64_t begin, int64_t end, const float* vectors) {
  const size_t piece = static_cast<size_t>(end - begin) * block_bytes();
  const size_t bytes = static_cast<size_t>(partition_count) * piece;
  CAIRN_TRY(std::byte* const staged, Staging(bytes));
  std::memset(staged, 0, bytes);
  const size_t row_bytes = static_cast<size_t>(padded_dim_) * DTypeBytes(options_.dtype);
  const int64_t rows = (end - begin) * options_.representatives;
  for (int64_t p = 0; p < partition_count; ++p) {
    const float* source = vectors + (p * count + begin) * options_.representatives * options_.dim;
    std::byte* target = staged + static_cast<size_t>(p) * piece;
    for (int64_t row = 0; row < rows; ++row, source += options_.dim, target += row_bytes) {
      ConvertFromFloat(options_.dtype, source, target, static_cast<size_t>(options_.dim));
    }
  }
  CAIRN_TRY(stream_.CopyPiecesToDevice(At(first_partition, size + begin), staged,
                                       {piece, static_cast<size_t>(partition_count),
                                        static_cast<size_t>(capacity_) * block_bytes(), piece}));
  if (codes_ == nullptr) return Ok();
  for (int32_t p = 0; p < partition_count; ++p) {
    tails_->Add(first_partition + p, size + begin, end - begin,
                staged + static_cast<size_t>(p) * piece);
  }
  if ((size + end) % capacity_ != 0) return Ok();
  for (int32_t p = first_partition; p < first_partition + partition_count; ++p) {
    const bool as_they_came = coded(p) <= size + end - capacity_;
    if (as_they_came) tails_->Code(p, size + end);
  }
  ++version_;
  CAIRN_TRY(device_.Use());
  return codes_->Code(first_partition, partition_count, size + end, At(first_partition, 0),
                      capacity_ * block_numbers(), stream_);
}

Status DeviceIndex::Add(int32_t first_partition, int32_t partition_count, int64_t count,
                        const float* vectors) {
  const int64_t rows = partition_count * count * options_.representatives;
  CAIRN_TRY(CheckFinite({vectors, static_cast<size_t>(rows * options_.dim)},
                        codes_ == nullptr ? options_.dtype : DType::kBF16, "the index's vectors"));
  const std::lock_guard lock(mutex_);
  CAIRN_CHECK(first_partition >= 0 && first_partition + partition_count <= options_.partitions);
  if (count == 0) return Ok();
  const int64_t size = sizes_[static_cast<size_t>(first_partition)];
  for (int32_t p = first_partition; p < first_partition + partition_count; ++p) {
    CAIRN_CHECK(sizes_[static_cast<size_t>(p)] == size);
  }
  CAIRN_TRY(MakeRoom(size + count));
  for (int64_t begin = 0; begin < count;) {
    const int64_t room = codes_ == nullptr ? count : capacity_ - (size + begin) % capacity_;
    const int64_t end = std::min(count, begin + room);
    const Status added = Append(first_partition, partition_count, size, count, begin, end, vectors);
    if (!added) {
      // Blocks that were there may have become codes; none was added.
      TruncateCodes(first_partition, partition_count, size);
      return added;
    }
    begin = end;
  }
  for (int32_t p = first_partition; p < first_partition + partition_count; ++p) {
    sizes_[static_cast<size_t>(p)] += count;
  }
  return Ok();
}

void DeviceIndex::Keep() {
  const std::lock_guard lock(mutex_);
  if (codes_ == nullptr) return;
  for (int32_t p = 0; p < options_.partitions; ++p) {
    tails_->Keep(p, sizes_[static_cast<size_t>(p)]);
  }
}

void DeviceIndex::Truncate(int32_t first_partition, int32_t partition_count, int64_t size) {
  const std::lock_guard lock(mutex_);
  for (int32_t p = first_partition; p < first_partition + partition_count; ++p) {
    int64_t& held = sizes_[static_cast<size_t>(p)];
    held = std::min(held, size);
  }
  TruncateCodes(first_partition, partition_count, size);
}

void DeviceIndex::TruncateCodes(int32_t first_partition, int32_t partition_count, int64_t size) {
  if (codes_ == nullptr) return;
  bool fewer = false;
  for (int32_t p = first_partition; p < first_partition + partition_count; ++p) {
    if (codes_->Truncate(p, 1, size)) {
      fewer = true;
      // If that fails, codes stay in use.
      const auto kept = tails_->Kept(p, size);
      if (!kept.empty() && PutBack(p, size, kept)) codes_->Truncate(p, 1, size - size % capacity_);
    }
    tails_->Cut(p, size);
  }
  if (fewer) ++version_;
}

Status DeviceIndex::PutBack(int32_t partition, int64_t size, std::span<const std::byte> blocks) {
  CAIRN_TRY(std::byte* const staged, Staging(blocks.size()));
  std::copy(blocks.begin(), blocks.end(), staged);
  CAIRN_TRY(stream_.CopyToDevice(At(partition, 0), staged, blocks.size()));
  tails_->Add(partition, size - size % capacity_, size % capacity_, staged);
  return Ok();
}

Status DeviceIndex::OrderAfterAdds(DeviceStream& stream) {
  const std::lock_guard lock(mutex_);
  CAIRN_TRY(stream_.Record(added_));
  return stream.WaitFor(added_);
}

DeviceIndex::Places DeviceIndex::PlacesOf(const SearchRequest& request, const Piece& piece,
                                          int32_t k) const {
  const auto rows = static_cast<size_t>(piece.partitions) * static_cast<size_t>(piece.rows);
  const auto groups = static_cast<size_t>(piece.partitions) * static_cast<size_t>(piece.groups);
  const auto blocks = static_cast<size_t>(request.end - request.begin);
  const auto choices = groups * static_cast<size_t>(k);
  Places places{};
  places.other_lse = rows * static_cast<size_t>(options_.dim);
  places.there = places.other_lse + rows;
  places.log_weights = rows;
  places.chosen = places.log_weights + choices;
  places.back = places.chosen + choices;
  const auto scan = RoomOfScan(request.first_partition, request.partition_count, request.begin,
                               request.end, ScanOf(piece, k));
  places.scans = scan.has_value();
  places.work = scan.value_or(0);
  if (places.scans) return places;
  places.weights = rows * blocks * static_cast<size_t>(options_.representatives);
  places.work = places.weights + groups * blocks;
  return places;
}

// Of a piece's rows, which are there as they are to be scored; for several groups there is no scan.
ScanParams DeviceIndex::ScanOf(const Piece& piece, int32_t k) const {
  ScanParams scan;
  scan.queries.heads = piece.partitions;
  scan.queries.group = piece.rows;
  scan.queries.dim = options_.dim;
  scan.queries.rows = piece.groups == 1 ? 1 : 0;
  scan.k = k;
  return scan;
}

Status DeviceIndex::Launch(const SearchRequest& request, const Piece& piece, int32_t k,
                           const Places& places) {
  const int32_t first = request.first_partition + piece.partition;
  const int64_t blocks = request.end - request.begin;
  if (places.scans) {
    ScanParams scan = ScanOf(piece, k);
    scan.queries.q = Floats(there_on_device_, 0);
    scan.other_lse = Floats(there_on_device_, places.other_lse);
    scan.lse = Floats(back_on_device_, 0);
    scan.chosen = reinterpret_cast<int32_t*>(Floats(back_on_device_, places.chosen));
    scan.log_weights = Floats(back_on_device_, places.log_weights);
    return ScanRange(first, request.begin, request.end, scan, nullptr, Floats(work_, 0),
                     reinterpret_cast<int32_t*>(arrived_.data()), stream_.get());
  }
  CAIRN_TRY(ScoreRange(first, piece.partitions, request.begin, request.end,
                       Floats(there_on_device_, 0), piece.rows, Floats(work_, 0), 0,
                       stream_.get()));
  return cuda::FoldScores(
      {.partitions = piece.partitions,
       .rows = piece.rows,
       .rows_per_group = request.rows_per_group,
       .blocks = static_cast<int32_t>(blocks),
       .representatives = options_.representatives,
       .k = k,
       .scores = Floats(work_, 0),
       .other_lse = Floats(there_on_device_, places.other_lse),
       .lse = Floats(back_on_device_, 0),
       .chosen = reinterpret_cast<int32_t*>(Floats(back_on_device_, places.chosen)),
       .log_weights = Floats(back_on_device_, places.log_weights)},
      Floats(work_, places.weights), stream_.get());
}

// As vectors are rounded, so are queries.
void DeviceIndex::StageQueries(const float* queries, int64_t numbers) {
  float* const staged = Floats(there_, 0);
  if (options_.dtype == DType::kF32) {
    std::copy_n(queries, numbers, staged);
    return;
  }
  std::transform(queries, queries + numbers, staged,
                 [](float number) { return Bf16ToFloat(FloatToBf16(number)); });
}

Status DeviceIndex::SearchSome(const SearchRequest& request, const Piece& piece,
                               SearchResult* result) {
  const Places places = PlacesOf(request, piece, result->k);
  CAIRN_TRY(Grow(&there_, places.there * sizeof(float), device_));
  CAIRN_TRY(Grow(&there_on_device_, places.there * sizeof(float), device_));
  CAIRN_TRY(Grow(&back_, places.back * sizeof(float), device_));
  CAIRN_TRY(Grow(&back_on_device_, places.back * sizeof(float), device_));
  CAIRN_TRY(Grow(&work_, places.work * sizeof(float), device_));
  const int64_t first_row = int64_t{piece.partition} * request.rows + piece.row;
  const int64_t rows = int64_t{piece.partitions} * piece.rows;
  StageQueries(request.queries + first_row * options_.dim, rows * options_.dim);
  std::copy_n(result->lse.data() + first_row, rows, Floats(there_, places.other_lse));
  const auto put = [&]() -> Status {
    CAIRN_TRY(
        stream_.CopyToDevice(there_on_device_.data(), there_.data(), places.there * sizeof(float)));
    CAIRN_TRY(Launch(request, piece, result->k, places));
    return stream_.CopyToHost(back_.data(), back_on_device_.data(), places.back * sizeof(float));
  };
  CAIRN_TRY(WaitAfter(put()));
  std::copy_n(Floats(back_, 0), rows, result->lse.data() + first_row);
  const int64_t choices = int64_t{piece.partitions} * piece.groups * result->k;
  const int64_t first_choice =
      (int64_t{piece.partition} * result->groups + piece.group) * result->k;
  std::copy_n(Floats(back_, places.log_weights), choices,
              result->log_weights.data() + first_choice);
  const auto* const chosen = reinterpret_cast<const int32_t*>(Floats(back_, places.chosen));
  for (int64_t i = 0; i < choices; ++i) {
    result->ordinals[static_cast<size_t>(first_choice + i)] = request.begin + chosen[i];
  }
  return Ok();
}

Status DeviceIndex::Search(const SearchRequest& request, SearchResult* result) {
  const std::lock_guard lock(mutex_);
  const auto first = sizes_.begin() + request.first_partition;
  CAIRN_TRY(PrepareSearch(options_, request,
                          *std::min_element(first, first + request.partition_count), result));
  if (request.rows == 0 || request.begin == request.end) return Ok();
  for (int32_t p = 0; p < request.partition_count; ++p) {
    if (request.begin < coded(request.first_partition + p)) result->lse_exact = false;
  }
  CAIRN_TRY(device_.Use());
  // Some partitions at a time where all scores would be too many, or some groups of one.
  Piece piece = {0, 1, 0, request.rows, 0, result->groups};
  const size_t each = PlacesOf(request, piece, result->k).work;
  const auto at_once = static_cast<int32_t>(std::max<size_t>(1, most_scores_ / each));
  const size_t of_group = each / static_cast<size_t>(result->groups);
  const auto groups_at_once = static_cast<int32_t>(
      std::clamp<size_t>(most_scores_ / of_group, 1, static_cast<size_t>(result->groups)));
  for (; piece.partition < request.partition_count; piece.partition += at_once) {
    piece.partitions = std::min(at_once, request.partition_count - piece.partition);
    for (piece.group = 0; piece.group < result->groups; piece.group += groups_at_once) {
      piece.groups = std::min(groups_at_once, result->groups - piece.group);
      piece.row = piece.group * request.rows_per_group;
      piece.rows = static_cast<int32_t>(std::min<int64_t>(
          int64_t{piece.groups} * request.rows_per_group, request.rows - piece.row));
      CAIRN_TRY(SearchSome(request, piece, result));
    }
  }
  return Ok();
}

}  // namespace cairn
