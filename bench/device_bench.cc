#include "bench/device_bench.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "bench/process_usage.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/blocks.h"
#include "kernels/cuda/chunk_codes.h"
#include "kernels/cuda/fold.h"
#include "kernels/cuda/scan.h"
#include "kernels/rope.h"

namespace cairn {
namespace {

constexpr int32_t kPosition = 4000;      // of the token; chosen blocks stand before it
constexpr int32_t kBlocksOfThreads = 2;  // of decode, for a multiprocessor, as steps have them
constexpr int32_t kMostBlocksOfThreads = 4;

Error Stopped() { return Fail(Errc::kInterrupted, "stopped; nothing was kept"); }

template <class T>
T* As(const DeviceBuffer& buffer) {
  return reinterpret_cast<T*>(buffer.data());
}

class DeviceBench {
 public:
  DeviceBench(Device& device, const DeviceBenchOptions& options,
              FunctionRef<bool(const std::string&)> stop)
      : device_(device), options_(options), stop_(stop) {}

  Result<DeviceBenchResult> Run();

 private:
  int64_t blocks() const { return options_.tokens / options_.block.block_rows; }
  int64_t pool_blocks() const {
    return static_cast<int64_t>(options_.pool_bytes / options_.block.payload_bytes());
  }
  int32_t query_heads() const { return options_.kv_heads * options_.group; }
  // Of codes of a layer and KV head.
  int64_t chunks() const {
    return (blocks() + cuda::kMostChunkVectors - 1) / cuda::kMostChunkVectors;
  }
  int64_t head_codes() const {
    return chunks() * cuda::kMostChunkVectors * CodedDim(options_.block.head_dim);
  }
  int64_t head_scales() const { return chunks() * 2 * CodedDim(options_.block.head_dim); }
  size_t token_blocks() const {
    return static_cast<size_t>(options_.layers) * options_.kv_heads * options_.retrieve;
  }

  Status Open();
  Status OpenScan();
  Status Fill(const DeviceBuffer& buffer);
  Status OpenAttention();
  template <class T>
  Result<DeviceBuffer> Put(const std::vector<T>& values);
  /// The median time of `work` with the wait for it, once to warm up and then each round.
  template <class Work>
  Result<double> TimeOf(const char* what, Work work);
  Status MeasureCopies(DeviceBenchResult* result);
  /// The same of `work(layer)` for all layers, as one graph, as a token is decoded.
  template <class Work>
  Result<double> TimeOfToken(const char* what, Work work);
  ScoreCodesParams CodesOf(int32_t layer) const;
  ScanParams ScanOf(int32_t layer, bool coded) const;
  Status ScanLayer(int32_t layer, bool coded, bool overlaps = false);
  Status ScanLayerApart(int32_t layer);
  Status AttendLayer(int32_t layer);
  // Parts of a list, so that each multiprocessor has so many blocks of threads.
  int32_t PartsFor(int32_t blocks_of_threads) const {
    return std::clamp(blocks_of_threads * device_.multiprocessors() / options_.kv_heads, 1,
                      options_.retrieve);
  }
  Status MeasureAttention(DeviceBenchResult* result);

  Device& device_;
  const DeviceBenchOptions options_;
  FunctionRef<bool(const std::string&)> stop_;
  std::mt19937_64 random_{1};
  DeviceStream stream_;
  PinnedBuffer pinned_, back_;      // of pool_bytes, and for results
  DeviceBuffer pool_, other_pool_;  // the same on the device
  DeviceBuffer landmarks_, codes_, scales_, queries_, lse_, scores_, scratch_, chosen_,
      log_weights_;
  DeviceBuffer rope_, positions_, placed_, counts_, o_, missing_, arrived_;
  cuda::DecodeShare share_;
};

template <class T>
Result<DeviceBuffer> DeviceBench::Put(const std::vector<T>& values) {
  const size_t bytes = values.size() * sizeof(T);
  CAIRN_TRY(auto buffer, device_.Allocate(bytes));
  CAIRN_TRY(const auto staged, device_.AllocatePinned(bytes));
  std::memcpy(staged.data(), values.data(), bytes);
  CAIRN_TRY(stream_.CopyToDevice(buffer.data(), staged.data(), bytes));
  CAIRN_TRY(stream_.Wait());
  return buffer;
}

template <class Work>
Result<double> DeviceBench::TimeOf(const char* what, Work work) {
  std::vector<double> seconds;
  for (int round = -1; round < options_.rounds; ++round) {
    if (stop_(fmt::format("{}, round {} of {}", what, std::max(0, round) + 1, options_.rounds))) {
      return Stopped();
    }
    const Stopwatch watch;
    CAIRN_TRY(work());
    CAIRN_TRY(stream_.Wait());
    if (round >= 0) seconds.push_back(watch.Seconds());
  }
  return Median(std::move(seconds));
}

template <class Work>
Result<double> DeviceBench::TimeOfToken(const char* what, Work work) {
  CAIRN_TRY(stream_.BeginCapture());
  Status put = Ok();
  for (int32_t layer = 0; put && layer < options_.layers; ++layer) put = work(layer);
  auto graph = stream_.EndCapture();
  CAIRN_TRY(put);
  CAIRN_TRY(const DeviceGraph captured, std::move(graph));
  return TimeOf(what, [&] { return stream_.Run(captured); });
}

// Numbers that are harmless as halves, bfloats, floats and codes.
Status DeviceBench::Open() {
  CAIRN_TRY(device_.Use());
  CAIRN_TRY(stream_, device_.MakeStream());
  CAIRN_TRY(back_, device_.AllocatePinned(64));
  const size_t bytes = static_cast<size_t>(pool_blocks()) * options_.block.payload_bytes();
  CAIRN_TRY(pinned_, device_.AllocatePinned(bytes));
  for (size_t i = 0; i + 2 <= bytes; i += 2) {
    const auto half = static_cast<uint16_t>(0x3000 | (random_() & 0x83ff));
    std::memcpy(pinned_.data() + i, &half, 2);
  }
  CAIRN_TRY(pool_, device_.Allocate(bytes));
  CAIRN_TRY(other_pool_, device_.Allocate(bytes));
  CAIRN_TRY(stream_.CopyToDevice(pool_.data(), pinned_.data(), bytes));
  CAIRN_TRY(stream_.CopyToDevice(other_pool_.data(), pinned_.data(), bytes));
  return stream_.Wait();
}

Status DeviceBench::Fill(const DeviceBuffer& buffer) {
  for (size_t at = 0; at < buffer.bytes();) {
    const size_t piece = std::min(pinned_.bytes(), buffer.bytes() - at);
    CAIRN_TRY(stream_.CopyToDevice(buffer.data() + at, pinned_.data(), piece));
    at += piece;
  }
  return Ok();
}

Status DeviceBench::OpenScan() {
  const auto heads = static_cast<size_t>(options_.kv_heads);
  const auto rows = heads * static_cast<size_t>(options_.group);
  const auto dim = static_cast<size_t>(options_.block.head_dim);
  const size_t layer_bytes = heads * static_cast<size_t>(blocks()) * dim * sizeof(uint16_t);
  const size_t all_heads = heads * static_cast<size_t>(options_.layers);
  CAIRN_TRY(landmarks_, device_.Allocate(layer_bytes * static_cast<size_t>(options_.layers)));
  CAIRN_TRY(codes_, device_.Allocate(all_heads * static_cast<size_t>(head_codes())));
  CAIRN_TRY(Fill(landmarks_));
  CAIRN_TRY(Fill(codes_));
  CAIRN_TRY(scales_, Put(std::vector<float>(all_heads * static_cast<size_t>(head_scales()), 0.1f)));
  std::normal_distribution<float> normal;
  std::vector<float> queries(rows * dim);
  for (float& number : queries) number = normal(random_);
  CAIRN_TRY(queries_, Put(queries));
  CAIRN_TRY(lse_, device_.Allocate(rows * sizeof(float)));
  const size_t choices = heads * static_cast<size_t>(options_.retrieve) * sizeof(float);
  CAIRN_TRY(chosen_, device_.Allocate(choices));
  CAIRN_TRY(log_weights_, device_.Allocate(choices));
  CAIRN_TRY(scores_, device_.Allocate(rows * static_cast<size_t>(blocks()) * sizeof(float)));
  return Ok();
}

Status DeviceBench::OpenAttention() {
  const BlockShape& block = options_.block;
  RopeTable rope(RopeStyle::kHalfSplit, RopeTable::InverseFrequencies(5e5, block.head_dim));
  rope.Reserve(kPosition + 1);
  CAIRN_TRY(rope_, Put(std::vector<float>(
                       rope.at(0), rope.at(0) + int64_t{rope.positions()} * block.head_dim)));
  CAIRN_TRY(positions_, Put(std::vector<int32_t>{kPosition}));
  CAIRN_TRY(missing_, Put(std::vector<int32_t>{0}));
  const auto counts = static_cast<size_t>(cuda::DecodeCounts(1, options_.kv_heads, options_.group));
  CAIRN_TRY(arrived_, Put(std::vector<int32_t>(counts, 0)));
  share_.arrived = As<int32_t>(arrived_);
  CAIRN_TRY(counts_,
            Put(std::vector<int32_t>(static_cast<size_t>(options_.kv_heads), options_.retrieve)));
  std::vector<cuda::PlacedBlock> placed;
  for (size_t i = 0; i < token_blocks(); ++i) {
    const size_t slot = random_() % static_cast<size_t>(pool_blocks());
    const auto rank = static_cast<int32_t>(i % static_cast<size_t>(options_.retrieve));
    placed.push_back({pool_.data() + slot * block.payload_bytes(),
                      std::min(rank * block.block_rows, kPosition - block.block_rows),
                      block.block_rows});
  }
  CAIRN_TRY(placed_, Put(placed));
  const auto floats = static_cast<size_t>(query_heads()) * block.head_dim;
  CAIRN_TRY(o_, device_.Allocate(floats * sizeof(float)));
  share_.splits = PartsFor(kBlocksOfThreads);
  cuda::AttendParams params;
  params.shape = block;
  params.heads = options_.kv_heads;
  params.rows = 1;
  params.group = options_.group;
  FoldParams fold;
  fold.partitions = options_.kv_heads;
  fold.rows = fold.rows_per_group = options_.group;
  fold.blocks = static_cast<int32_t>(blocks());
  const size_t scratch =
      std::max({cuda::DecodeScratchFloats(params, PartsFor(kMostBlocksOfThreads)),
                cuda::FoldScratchFloats(fold), cuda::ScanScratchFloats(ScanOf(0, true)),
                cuda::ScanScratchFloats(ScanOf(0, false))});
  CAIRN_TRY(scratch_, device_.Allocate(scratch * sizeof(float)));
  share_.scratch = As<float>(scratch_);
  return Ok();
}

Status DeviceBench::MeasureCopies(DeviceBenchResult* result) {
  const size_t bytes = options_.block.payload_bytes();
  const auto count = std::min<size_t>(65'535, static_cast<size_t>(pool_blocks()));
  std::vector<size_t> order(static_cast<size_t>(pool_blocks()));
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::vector<std::byte*> targets;
  std::vector<const std::byte*> sources;
  std::shuffle(order.begin(), order.end(), random_);
  for (size_t i = 0; i < count; ++i) targets.push_back(other_pool_.data() + order[i] * bytes);
  std::shuffle(order.begin(), order.end(), random_);
  for (size_t i = 0; i < count; ++i) sources.push_back(pinned_.data() + order[i] * bytes);
  CAIRN_TRY(const auto target_list, Put(targets));
  CAIRN_TRY(const auto source_list, Put(sources));
  const auto total = static_cast<double>(count * bytes);

  CAIRN_TRY(const double wait,
            TimeOf("a wait", [&] { return stream_.CopyToHost(back_.data(), pool_.data(), 16); }));
  CAIRN_TRY(const double memory, TimeOf("a copy on the device", [&] {
              return stream_.CopyPiecesOnDevice(other_pool_.data(), pool_.data(),
                                                {count * bytes, 1, count * bytes, count * bytes});
            }));
  CAIRN_TRY(const double copy, TimeOf("a long copy", [&] {
              return stream_.CopyToDevice(other_pool_.data(), pinned_.data(), count * bytes);
            }));
  CAIRN_TRY(const double batch, TimeOf("a batch of blocks", [&] {
              return stream_.CopyBatchToDevice(targets, sources, bytes);
            }));
  CAIRN_TRY(const double gather, TimeOf("gathering blocks", [&] {
              return cuda::GatherBlocks(static_cast<int32_t>(count), bytes,
                                        As<const std::byte*>(source_list),
                                        As<std::byte*>(target_list), stream_.get());
            }));
  result->wait_seconds = wait;
  result->memory_bytes_per_second = 2 * total / memory;
  result->copy_bytes_per_second = total / copy;
  result->batch_bytes_per_second = total / batch;
  result->gather_bytes_per_second = total / gather;
  result->batch_share = copy / batch;
  result->gather_share = copy / gather;
  return Ok();
}

// A layer's landmarks, as they came or as codes, with what a decode step asks of them.
ScanParams DeviceBench::ScanOf(int32_t layer, bool coded) const {
  const int32_t dim = options_.block.head_dim;
  ScanParams scan;
  scan.queries = {.heads = options_.kv_heads,
                  .group = options_.group,
                  .dim = dim,
                  .rows = 1,
                  .q = As<float>(queries_),
                  .positions = As<int32_t>(positions_)};
  if (coded) scan.codes = CodesOf(layer);
  scan.plain = {.dim = dim,
                .padded_dim = dim,
                .vectors = coded ? 0 : blocks(),
                .dtype = DType::kBF16,
                .stored = As<uint16_t>(landmarks_) + layer * options_.kv_heads * blocks() * dim,
                .partition_stride = blocks() * dim};
  scan.k = options_.retrieve;
  scan.lse = As<float>(lse_);
  scan.chosen = As<int32_t>(chosen_);
  scan.log_weights = As<float>(log_weights_);
  scan.missing = As<int32_t>(missing_);
  return scan;
}

Status DeviceBench::ScanLayer(int32_t layer, bool coded, bool overlaps) {
  const cuda::DeviceRope rope = {As<float>(rope_), kPosition + 1, RopeStyle::kHalfSplit};
  ScanParams scan = ScanOf(layer, coded);
  scan.overlaps = overlaps;
  return cuda::ScanLandmarks(scan, &rope, As<float>(scratch_), As<int32_t>(arrived_),
                             stream_.get());
}

ScoreCodesParams DeviceBench::CodesOf(int32_t layer) const {
  const int64_t first = int64_t{layer} * options_.kv_heads;
  return {.partitions = options_.kv_heads,
          .rows = options_.group,
          .dim = options_.block.head_dim,
          .chunk_vectors = cuda::kMostChunkVectors,
          .vectors = blocks(),
          .codes = As<int8_t>(codes_) + first * head_codes(),
          .code_stride = head_codes(),
          .scales = As<float>(scales_) + first * head_scales(),
          .scale_stride = head_scales(),
          .queries = As<float>(queries_),
          .scores = As<float>(scores_)};
}

// The same by one launch behind the other.
Status DeviceBench::ScanLayerApart(int32_t layer) {
  CAIRN_TRY(cuda::ScoreCodes(CodesOf(layer), stream_.get()));
  return cuda::FoldScores({.partitions = options_.kv_heads,
                           .rows = options_.group,
                           .rows_per_group = options_.group,
                           .blocks = static_cast<int32_t>(blocks()),
                           .representatives = 1,
                           .k = options_.retrieve,
                           .scores = As<float>(scores_),
                           .other_lse = nullptr,
                           .lse = As<float>(lse_),
                           .chosen = As<int32_t>(chosen_),
                           .log_weights = As<float>(log_weights_)},
                          As<float>(scratch_), stream_.get());
}

Status DeviceBench::AttendLayer(int32_t layer) {
  cuda::AttendParams params;
  params.shape = options_.block;
  params.mode = SoftmaxMode::kGrouped;
  params.scale = 1.0f / std::sqrt(static_cast<float>(options_.block.head_dim));
  params.rope = {As<float>(rope_), kPosition + 1, RopeStyle::kHalfSplit};
  params.heads = options_.kv_heads;
  params.rows = 1;
  params.group = options_.group;
  params.q = As<float>(queries_);
  params.q_row_stride = params.o_row_stride = int64_t{query_heads()} * options_.block.head_dim;
  params.q_positions = As<int32_t>(positions_);
  params.blocks =
      As<cuda::PlacedBlock>(placed_) + int64_t{layer} * options_.kv_heads * options_.retrieve;
  params.block_counts = As<int32_t>(counts_);
  params.block_stride = options_.retrieve;
  params.o = As<float>(o_);
  params.lse = As<float>(lse_);
  return cuda::AttendDecode(params, share_, stream_.get());
}

// By each number of parts; behind it share_ is as before.
Status DeviceBench::MeasureAttention(DeviceBenchResult* result) {
  for (int32_t each = 1; each <= kMostBlocksOfThreads; ++each) {
    share_.splits = PartsFor(each);
    CAIRN_TRY(const double seconds,
              TimeOfToken("attention", [this](int32_t layer) { return AttendLayer(layer); }));
    result->attend_by_parts.push_back({share_.splits, seconds});
    if (each == kBlocksOfThreads) result->attend_seconds = seconds;
  }
  share_.splits = PartsFor(kBlocksOfThreads);
  result->attend_bytes_per_second =
      static_cast<double>(token_blocks() * options_.block.payload_bytes()) / result->attend_seconds;
  result->attend_share = result->attend_bytes_per_second / result->memory_bytes_per_second;
  return Ok();
}

Result<DeviceBenchResult> DeviceBench::Run() {
  CAIRN_TRY(Open());
  CAIRN_TRY(OpenScan());
  CAIRN_TRY(OpenAttention());
  DeviceBenchResult result;
  CAIRN_TRY(MeasureCopies(&result));
  CAIRN_TRY(result.scan_seconds, TimeOfToken("a scan of landmarks", [this](int32_t layer) {
              return ScanLayer(layer, false);
            }));
  CAIRN_TRY(result.coded_scan_seconds, TimeOfToken("a scan of codes", [this](int32_t layer) {
              return ScanLayer(layer, true);
            }));
  CAIRN_TRY(result.coded_scan_overlapped_seconds,
            TimeOfToken("a scan of codes by launches that overlap",
                        [this](int32_t layer) { return ScanLayer(layer, true, true); }));
  CAIRN_TRY(result.coded_scan_apart_seconds,
            TimeOfToken("a scan of codes by several launches",
                        [this](int32_t layer) { return ScanLayerApart(layer); }));
  CAIRN_TRY(MeasureAttention(&result));
  CAIRN_TRY(result.layer_waits_seconds, TimeOf("layers that wait", [this]() -> Status {
              for (int32_t layer = 0; layer < options_.layers; ++layer) {
                CAIRN_TRY(ScanLayer(layer, true));
                CAIRN_TRY(stream_.CopyToHost(back_.data(), chosen_.data(), 16));
                CAIRN_TRY(stream_.Wait());
                CAIRN_TRY(AttendLayer(layer));
                CAIRN_TRY(stream_.Wait());
              }
              return Ok();
            }));
  result.scan_bytes_per_second = static_cast<double>(landmarks_.bytes()) / result.scan_seconds;
  result.coded_scan_bytes_per_second =
      static_cast<double>(codes_.bytes() + scales_.bytes()) / result.coded_scan_seconds;
  return result;
}

}  // namespace

Status DeviceBenchOptions::Validate() const {
  CAIRN_TRY(DeviceShape::Validate());
  CAIRN_TRY(AtLeast("--rounds", rounds, 1));
  CAIRN_TRY(AtMost("--group", group, cuda::kMostScanRows));
  CAIRN_TRY(AtMost("--retrieve", retrieve, cuda::kMostScanChosen));
  return AtLeast("--pool", static_cast<int64_t>(pool_bytes),
                 static_cast<int64_t>(2 * block.payload_bytes()));
}

Result<DeviceBenchResult> RunDeviceBench(Device& device, const DeviceBenchOptions& options,
                                         FunctionRef<bool(const std::string&)> stop) {
  CAIRN_TRY(options.Validate());
  return DeviceBench(device, options, stop).Run();
}

}  // namespace cairn
