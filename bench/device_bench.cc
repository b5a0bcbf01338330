#include "bench/device_bench.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "bench/token_attention.h"
#include "bench/token_scan.h"
#include "engine/options.h"
#include "kernels/cuda/blocks.h"
#include "kernels/cuda/scan.h"

namespace cairn {
namespace {

constexpr int32_t kBlocksOfThreads = 2;  // of decode, for a multiprocessor, as steps have them
constexpr int64_t kWholeRounds = 6;      // of two or three blocks of threads on each
constexpr int64_t kMostHeads = 65'535;   // query heads of a launch
constexpr int32_t kOneLaunchParts[] = {1, 2, 4};
// Copies before the first that is timed: half a second of an H200's memory, by its data sheet.
constexpr uint64_t kWarmUpBytes = 1ull << 40;  // of the source
constexpr uint64_t kMostWarmUpCopies = 1024;

class DeviceBench {
 public:
  DeviceBench(Device& device, const DeviceBenchOptions& options,
              FunctionRef<bool(const std::string&)> stop)
      : options_(options), rig_(device, options.rounds, options.replays, stop) {}

  Result<DeviceBenchResult> Run();

 private:
  int64_t pool_blocks() const {
    return static_cast<int64_t>(options_.pool_bytes / options_.block.payload_bytes());
  }
  // A token's, of lists of so many blocks.
  int64_t token_blocks(int32_t blocks) const {
    return int64_t{options_.layers} * options_.kv_heads * blocks;
  }
  // Parts of a list as steps have them.
  int32_t StepParts(int32_t blocks) const {
    return std::clamp(kBlocksOfThreads * rig_.device().multiprocessors() / options_.kv_heads, 1,
                      blocks);
  }

  Status Open();
  Status CopyOnDevice();
  Status WarmUp();
  Result<double> MemoryRate();
  Status MeasureCopies();
  Status MeasureScans(TokenScan& scan);
  Status MeasureToken(int32_t blocks);
  Status MeasureOneLaunch();
  Status MeasureLayerWaits(TokenScan& scan);
  void AddShares();

  const DeviceBenchOptions options_;
  DeviceRig rig_;
  std::mt19937_64 random_{1};
  PinnedBuffer pinned_, back_;      // of pool_bytes, and for results
  DeviceBuffer pool_, other_pool_;  // the same on the device
  StrewnBlocks strewn_;
  DeviceBenchResult result_;
};

// Numbers that are harmless as halves, bfloats, floats and codes.
Status DeviceBench::Open() {
  CAIRN_TRY(rig_.Open());
  Device& device = rig_.device();
  CAIRN_TRY(back_, device.AllocatePinned(64));
  const size_t bytes = static_cast<size_t>(pool_blocks()) * options_.block.payload_bytes();
  CAIRN_TRY(pinned_, device.AllocatePinned(bytes));
  for (size_t i = 0; i + 2 <= bytes; i += 2) {
    const auto half = static_cast<uint16_t>(0x3000 | (random_() & 0x83ff));
    std::memcpy(pinned_.data() + i, &half, 2);
  }
  CAIRN_TRY(pool_, device.Allocate(bytes));
  CAIRN_TRY(other_pool_, device.Allocate(bytes));
  CAIRN_TRY(rig_.Fill(pool_, pinned_));
  CAIRN_TRY(rig_.Fill(other_pool_, pinned_));
  strewn_.pool = pool_.data();
  strewn_.order.resize(static_cast<size_t>(pool_blocks()));
  std::iota(strewn_.order.begin(), strewn_.order.end(), int64_t{0});
  std::shuffle(strewn_.order.begin(), strewn_.order.end(), random_);
  return Ok();
}

Status DeviceBench::CopyOnDevice() {
  const size_t bytes = pool_.bytes();
  return rig_.stream().CopyPiecesOnDevice(other_pool_.data(), pool_.data(),
                                          {bytes, 1, bytes, bytes});
}

// A device that was idle has a slower clock.
Status DeviceBench::WarmUp() {
  const uint64_t copies = std::clamp<uint64_t>(kWarmUpBytes / pool_.bytes(), 1, kMostWarmUpCopies);
  for (uint64_t i = 0; i < copies; ++i) CAIRN_TRY(CopyOnDevice());
  return rig_.stream().Wait();
}

Result<double> DeviceBench::MemoryRate() {
  CAIRN_TRY(const double seconds, rig_.DeviceSeconds("a copy on the device", rig_.replays(),
                                                     [&](int32_t) { return CopyOnDevice(); }));
  return 2 * static_cast<double>(pool_.bytes()) / seconds;
}

Status DeviceBench::MeasureCopies() {
  DeviceStream& stream = rig_.stream();
  const size_t bytes = options_.block.payload_bytes();
  const auto count = std::min<size_t>(65'535, strewn_.order.size());
  std::vector<std::byte*> targets;
  std::vector<const std::byte*> sources;
  std::vector<int64_t> order = strewn_.order;
  const auto at = [&](size_t i) { return static_cast<size_t>(order[i]) * bytes; };
  for (size_t i = 0; i < count; ++i) targets.push_back(other_pool_.data() + at(i));
  std::shuffle(order.begin(), order.end(), random_);
  for (size_t i = 0; i < count; ++i) sources.push_back(pinned_.data() + at(i));
  CAIRN_TRY(const auto target_list, rig_.Put(targets));
  CAIRN_TRY(const auto source_list, rig_.Put(sources));
  const auto total = static_cast<double>(count * bytes);

  CAIRN_TRY(result_.wait_seconds, rig_.HostSeconds("a wait", [&] {
    return stream.CopyToHost(back_.data(), pool_.data(), 16);
  }));
  CAIRN_TRY(const double copy, rig_.HostSeconds("a long copy", [&] {
    return stream.CopyToDevice(other_pool_.data(), pinned_.data(), count * bytes);
  }));
  CAIRN_TRY(const double batch, rig_.HostSeconds("a batch of blocks", [&] {
    return stream.CopyBatchToDevice(targets, sources, bytes);
  }));
  CAIRN_TRY(const double gather, rig_.HostSeconds("gathering blocks", [&] {
    return cuda::GatherBlocks(static_cast<int32_t>(count), bytes, As<const std::byte*>(source_list),
                              As<std::byte*>(target_list), stream.get());
  }));
  result_.copy_bytes_per_second = total / copy;
  result_.batch_bytes_per_second = total / batch;
  result_.gather_bytes_per_second = total / gather;
  result_.batch_share = copy / batch;
  result_.gather_share = copy / gather;
  return Ok();
}

Status DeviceBench::MeasureScans(TokenScan& scan) {
  const auto time = [&](const char* what, FunctionRef<Status(int32_t)> put) {
    return rig_.TimeToken(what, 1, [&](int32_t) -> Status {
      for (int32_t layer = 0; layer < options_.layers; ++layer) CAIRN_TRY(put(layer));
      return Ok();
    });
  };
  CAIRN_TRY(result_.scan,
            time("a scan of landmarks", [&](int32_t layer) { return scan.Put(layer, false); }));
  CAIRN_TRY(result_.coded_scan,
            time("a scan of codes", [&](int32_t layer) { return scan.Put(layer, true); }));
  CAIRN_TRY(const TokenTime overlapped,
            time("a scan of codes by launches that overlap",
                 [&](int32_t layer) { return scan.Put(layer, true, true); }));
  CAIRN_TRY(const TokenTime apart, time("a scan of codes by several launches",
                                        [&](int32_t layer) { return scan.PutApart(layer); }));
  result_.coded_scan_overlapped_seconds = overlapped.seconds;
  result_.coded_scan_apart_seconds = apart.seconds;
  result_.scan_bytes_per_second = static_cast<double>(scan.bytes()) / result_.scan.seconds;
  result_.coded_scan_bytes_per_second =
      static_cast<double>(scan.coded_bytes()) / result_.coded_scan.seconds;
  return Ok();
}

// Tokens one behind the other read other blocks, as long as the pool has any.
Status DeviceBench::MeasureToken(int32_t blocks) {
  const auto tokens = static_cast<int32_t>(
      std::clamp<int64_t>(pool_blocks() / token_blocks(blocks), 1, options_.replays));
  TokenAttention attention(rig_, options_, {options_.kv_heads, blocks, tokens * options_.layers});
  CAIRN_TRY(attention.Open(strewn_, blocks));
  std::vector<int32_t> all = PartsOfList(blocks);
  const int32_t of_steps = StepParts(blocks);
  all.push_back(of_steps);
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  for (const int32_t parts : all) {
    CAIRN_TRY(const TokenTime time,
              rig_.TimeToken("attention", tokens, [&](int32_t token) -> Status {
                for (int32_t layer = 0; layer < options_.layers; ++layer) {
                  CAIRN_TRY(attention.Put(token * options_.layers + layer, parts));
                }
                return Ok();
              }));
    result_.attend_by_parts.push_back({blocks, parts, time.seconds, 0});
    if (blocks == options_.retrieve && parts == of_steps) result_.attend = time;
  }
  return Ok();
}

Status DeviceBench::MeasureOneLaunch() {
  LaunchResult& launch = result_.attend_one_launch;
  // So many that blocks of threads come in whole rounds, if there are as many.
  const int64_t most = std::min(pool_blocks() / options_.retrieve, kMostHeads / options_.group);
  const int64_t whole = kWholeRounds * rig_.device().multiprocessors();
  launch.lists =
      static_cast<int32_t>(most < whole ? std::max<int64_t>(1, most) : most / whole * whole);
  TokenAttention attention(rig_, options_, {launch.lists, options_.retrieve, 1});
  CAIRN_TRY(attention.Open(strewn_, *std::rbegin(kOneLaunchParts)));
  launch.bytes = attention.call_bytes();
  for (const int32_t parts : kOneLaunchParts) {
    if (parts > options_.retrieve) break;
    CAIRN_TRY(const double seconds,
              rig_.DeviceSeconds("attention in one launch", rig_.replays(),
                                 [&](int32_t) { return attention.Put(0, parts); }));
    launch.by_parts.push_back({options_.retrieve, parts, seconds, 0});
    if (parts == 1 || seconds < launch.seconds) launch.seconds = seconds;
  }
  return Ok();
}

Status DeviceBench::MeasureLayerWaits(TokenScan& scan) {
  TokenAttention attention(rig_, options_, {options_.kv_heads, options_.retrieve, options_.layers});
  const int32_t parts = StepParts(options_.retrieve);
  CAIRN_TRY(attention.Open(strewn_, parts));
  CAIRN_TRY(result_.layer_waits_seconds, rig_.HostSeconds("layers that wait", [&]() -> Status {
    DeviceStream& stream = rig_.stream();
    for (int32_t layer = 0; layer < options_.layers; ++layer) {
      CAIRN_TRY(scan.Put(layer, true));
      CAIRN_TRY(stream.CopyToHost(back_.data(), scan.chosen(), 16));
      CAIRN_TRY(stream.Wait());
      CAIRN_TRY(attention.Put(layer, parts));
      CAIRN_TRY(stream.Wait());
    }
    return Ok();
  }));
  return Ok();
}

void DeviceBench::AddShares() {
  result_.memory_bytes_per_second =
      std::max(result_.memory_bytes_per_second_first, result_.memory_bytes_per_second_last);
  const double memory = result_.memory_bytes_per_second;
  const auto rate = [](uint64_t bytes, double seconds) {
    return static_cast<double>(bytes) / seconds;
  };
  const auto bytes_of = [&](int32_t blocks) {
    return static_cast<uint64_t>(token_blocks(blocks)) * options_.block.payload_bytes();
  };
  result_.attend_bytes_per_second = rate(bytes_of(options_.retrieve), result_.attend.seconds);
  result_.attend_share = result_.attend_bytes_per_second / memory;
  for (AttendTime& time : result_.attend_by_parts) {
    time.share = rate(bytes_of(time.blocks), time.seconds) / memory;
  }
  LaunchResult& launch = result_.attend_one_launch;
  launch.bytes_per_second = rate(launch.bytes, launch.seconds);
  launch.share = launch.bytes_per_second / memory;
  for (AttendTime& time : launch.by_parts) time.share = rate(launch.bytes, time.seconds) / memory;
}

Result<DeviceBenchResult> DeviceBench::Run() {
  CAIRN_TRY(Open());
  CAIRN_TRY(WarmUp());
  CAIRN_TRY(result_.memory_bytes_per_second_first, MemoryRate());
  CAIRN_TRY(MeasureCopies());
  TokenScan scan(rig_, options_);
  CAIRN_TRY(scan.Open(pinned_));
  CAIRN_TRY(MeasureScans(scan));
  CAIRN_TRY(MeasureToken(options_.retrieve));
  CAIRN_TRY(MeasureToken(options_.StepBlocks()));
  CAIRN_TRY(MeasureOneLaunch());
  CAIRN_TRY(MeasureLayerWaits(scan));
  CAIRN_TRY(result_.memory_bytes_per_second_last, MemoryRate());
  AddShares();
  if (options_.faiss) {
    CAIRN_TRY(result_.faiss, TimeFaiss(rig_, options_, scan.landmarks()));
  } else {
    result_.faiss.problem = "not asked for; use --faiss";
  }
  return result_;
}

}  // namespace

int32_t DeviceBenchOptions::StepBlocks() const {
  return retrieve + SessionOptions{}.sinks + recent_tokens / block.block_rows + 1;
}

Status DeviceBenchOptions::Validate() const {
  CAIRN_TRY(DeviceShape::Validate());
  CAIRN_TRY(AtLeast("--recent", recent_tokens, 0));
  CAIRN_TRY(AtLeast("--rounds", rounds, 1));
  CAIRN_TRY(AtLeast("--replays", replays, 1));
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
