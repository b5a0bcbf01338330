// DecodeBench: a whole model's answer on a device behind a long past: random weights, and rows of
// random numbers in place of embedded tokens; session, tiers, choices and kernels are those of any
// answer.
#pragma once

#include <cstdint>
#include <string>

#include "base/device.h"
#include "base/error.h"
#include "base/parallel.h"
#include "bench/device_shape.h"
#include "engine/options.h"
#include "index/landmark_index.h"

namespace cairn {

struct DecodeBenchOptions : DeviceShape {
  DecodeBenchOptions() { block.dtype = DType::kQ8; }

  int32_t device = 0;
  int32_t hidden = 4096;
  int32_t ffn = 14336;
  int32_t vocab = 128256;
  int32_t context = 8192;  ///< rows the model would have been trained on
  AttentionMode mode = AttentionMode::kUnmodified;
  int32_t recent_tokens = 512;         ///< always attended (unmodified mode)
  IndexKind index = IndexKind::kAuto;  ///< kAuto or kInt8

  int32_t chunk = 1024;       ///< the most rows of a step that reads
  int32_t query_stride = 16;  ///< rows of such a step of which one has a say in its choice
  double read_seconds = 0;    ///< after which no more is read; 0: no limit
  int32_t warm_up = 32;       ///< tokens decoded before any is timed
  int32_t decode = 256;       ///< tokens timed
  /// Share of the row before in each row that is decoded, from 0 to below 1; the rest is new, and
  /// the sum as long as either.
  float repeat = 0.995f;

  uint64_t compute_bytes = 0;  ///< of the compute tier; 0: ComputeBytes
  uint64_t host_bytes = 0;     ///< of the host tier, which has all blocks; 0: HostBytes

  /// kInvalidArgument naming what cannot be, kResource if the host tier is too small.
  Status Validate() const;
  SessionShape Shape() const;
  /// Of sessions while they read.
  SessionOptions Reading() const;
  /// Rows that stand for so many tokens: in landmark mode a row closes each block.
  int64_t RowsOf(int64_t tokens) const;
  /// What the host tier needs for every block there will be.
  uint64_t HostBytes() const;
  /// A 25th of the blocks, but all that two tokens may choose.
  uint64_t ComputeBytes() const;
};

struct DecodeBenchResult {
  double making_seconds = 0;  ///< of weights and tiers
  int64_t tokens = 0;         ///< that were read
  int64_t rows = 0;           ///< the same, landmark rows too
  int64_t blocks = 0;         ///< of each layer and KV head, after reading
  double reading_seconds = 0;
  double reading_tokens_per_second = 0;

  // Of a token that was decoded; means unless they say.
  double decode_seconds_p50 = 0, decode_seconds_p90 = 0, decode_seconds_p99 = 0;
  double decode_seconds_most = 0;
  double decode_tokens_per_second = 0;
  double waits = 0;             ///< of the host for the device
  double launches = 0;          ///< of graphs
  double copied_bytes = 0;      ///< to the device
  double chosen_blocks = 0;     ///< by all layers and KV heads; not sinks and recent ones
  double missed_blocks = 0;     ///< that were brought to the device
  double chosen_hit_share = 0;  ///< of chosen blocks, those that were not brought
  double hit_share = 0;         ///< as the compute tier counts: sinks and recent blocks are in it

  // Memory, at the end.
  uint64_t payload_bytes = 0;       ///< of all blocks
  double outside_share = 0;         ///< of them, what has no copy on the device
  uint64_t weight_bytes = 0;        ///< on the device
  uint64_t index_bytes = 0;         ///< on the device
  uint64_t compute_tier_bytes = 0;  ///< on the device
  uint64_t device_bytes = 0;        ///< of the device, all together
  uint64_t host_tier_bytes = 0;     ///< page-locked
  uint64_t host_bytes = 0;          ///< of the process
  std::string index;                ///< that searched
};

/// kInterrupted if `stop`, asked now and then with a line about progress, says so; kResource that
/// says what is needed if device or host lack memory.
Result<DecodeBenchResult> RunDecodeBench(Device& device, const DecodeBenchOptions& options,
                                         FunctionRef<bool(const std::string&)> stop);

}  // namespace cairn
