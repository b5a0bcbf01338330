// DecodeBench: a whole model's answer on a device behind a long past: random weights, and rows of
// random numbers in place of embedded tokens; session, tiers, choices and kernels are those of any
// answer. The past was read by the model before, or it is random itself (bench/random_past.h).
#pragma once

#include <cstdint>
#include <string>

#include "base/device.h"
#include "base/error.h"
#include "base/parallel.h"
#include "bench/decode_options.h"

namespace cairn {

struct DecodeBenchResult {
  double making_seconds = 0;   ///< of weights and tiers
  int64_t past_tokens = 0;     ///< before any was decoded
  int64_t past_rows = 0;       ///< the same, landmark rows too
  int64_t blocks = 0;          ///< of each layer and KV head, in them
  int64_t read_tokens = 0;     ///< all of the past, or 0 if it was random
  double reading_seconds = 0;  ///< 0 if it was
  double reading_tokens_per_second = 0;
  double drawing_seconds = 0;  ///< of a random past; else 0
  double opening_seconds = 0;  ///< of its session

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
  uint64_t distinct_bytes = 0;      ///< of payloads that are distinct
  double outside_share = 0;         ///< of them, what has no copy on the device
  uint64_t weight_bytes = 0;        ///< on the device
  uint64_t index_bytes = 0;         ///< on the device
  uint64_t compute_tier_bytes = 0;  ///< on the device
  uint64_t device_bytes = 0;        ///< of the device, all together
  uint64_t besides_weights = 0;     ///< of them
  DeviceReckoning reckoned;         ///< what that should be
  uint64_t host_tier_bytes = 0;     ///< page-locked
  uint64_t host_bytes = 0;          ///< of the process
  std::string index;                ///< that searched
};

/// Gives the result to `report` before memory is given back, which takes a while. kInterrupted if
/// `stop`, asked now and then with a line about progress, says so; kResource that says what is
/// needed if device or host lack memory.
Status RunDecodeBench(Device& device, const DecodeBenchOptions& options,
                      FunctionRef<bool(const std::string&)> stop,
                      FunctionRef<void(const DecodeBenchResult&)> report);

}  // namespace cairn
