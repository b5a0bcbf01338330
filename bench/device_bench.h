// DeviceBench: what a device gives to a model's memory: moving scattered blocks there, scoring the
// landmarks of a long past, and attending over chosen blocks, for one token through all layers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/device.h"
#include "base/error.h"
#include "base/parallel.h"
#include "bench/device_rig.h"
#include "bench/device_shape.h"
#include "bench/token_faiss.h"

namespace cairn {

/// The past is scored, a landmark for each block.
struct DeviceBenchOptions : DeviceShape {
  int32_t recent_tokens = 512;       ///< that an unmodified model's step always attends
  uint64_t pool_bytes = 1ull << 30;  ///< memory on either side over which blocks are strewn
  int rounds = 5;                    ///< of which medians are taken
  int replays = 10;                  ///< of a token between two readings of the device's clock
  bool faiss = false;                ///< also time FAISS on the GPU, last of all

  /// kInvalidArgument naming what cannot be.
  Status Validate() const;
  /// Of a list of an unmodified model's step: chosen blocks, the first and recent ones.
  int32_t StepBlocks() const;
};

/// Attention of lists of so many blocks, each shared by so many blocks of threads.
struct AttendTime {
  int32_t blocks = 0;
  int32_t parts = 0;
  double seconds = 0;
  double share = 0;  ///< of memory_bytes_per_second
};

/// One launch that attends over as much of the pool as there are lists for.
struct LaunchResult {
  int32_t lists = 0;
  uint64_t bytes = 0;  ///< of payloads, none of them twice unless the pool is small
  double seconds = 0;  ///< in the parts that are fastest
  double bytes_per_second = 0;
  double share = 0;  ///< of memory_bytes_per_second
  std::vector<AttendTime> by_parts;
};

/// Medians. Bytes per second are of what was asked for, not of lines that came along.
struct DeviceBenchResult {
  double wait_seconds = 0;  ///< a few bytes back and the host's wait for them
  /// A copy on the device, read and written: the faster of that before all else and behind it.
  double memory_bytes_per_second = 0;
  double memory_bytes_per_second_first = 0, memory_bytes_per_second_last = 0;
  double copy_bytes_per_second = 0;    ///< one long copy from pinned memory
  double batch_bytes_per_second = 0;   ///< scattered blocks, one call
  double gather_bytes_per_second = 0;  ///< the same by a kernel that reads pinned memory
  double batch_share = 0;              ///< of the long copy's rate
  double gather_share = 0;
  TokenTime scan;  ///< scores, log-sum-exps and choices of a token, of bf16
  double scan_bytes_per_second = 0;
  TokenTime coded_scan;  ///< the same of codes of 8 bits
  double coded_scan_bytes_per_second = 0;
  double coded_scan_overlapped_seconds = 0;  ///< by launches that begin before the one before ends
  double coded_scan_apart_seconds = 0;       ///< by several launches, one behind the other
  TokenTime attend;                          ///< chosen blocks of a token, a launch for each layer
  double attend_bytes_per_second = 0;
  double attend_share = 0;  ///< of memory_bytes_per_second
  /// In the parts that a list of retrieve blocks, and one of StepBlocks, can be in, and those that
  /// steps take.
  std::vector<AttendTime> attend_by_parts;
  LaunchResult attend_one_launch;
  double layer_waits_seconds = 0;  ///< scan of codes and attention, a wait for each, all layers
  FaissTimes faiss;
};

/// kInterrupted if `stop`, asked now and then with a line about progress, says so; kResource if the
/// device has not the memory.
Result<DeviceBenchResult> RunDeviceBench(Device& device, const DeviceBenchOptions& options,
                                         FunctionRef<bool(const std::string&)> stop);

}  // namespace cairn
