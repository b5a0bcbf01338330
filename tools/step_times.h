// StepTimes: a trace passed through a memory of some size, and what its steps would have waited.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "tools/cache_replay.h"
#include "tools/step_estimate.h"

namespace cairn {

/// Of fewer steps one in a hundred is none.
inline constexpr uint64_t kLeastP99Steps = 100;

struct StepTimes {
  uint32_t slots = 0;
  double hit_ratio = 0;
  uint64_t steps = 0;  ///< a step fetches for all layers, one after the other
  /// Waited in a step; nothing without an estimate. p99 needs kLeastP99Steps.
  std::optional<double> p50_ns{}, p99_ns{};
};

/// Blocks that a host tier of `memory_bytes` holds.
uint32_t HostSlots(uint64_t memory_bytes, uint64_t block_bytes);
/// Memory that so many slots take.
uint64_t HostBytes(uint32_t slots, uint64_t block_bytes);

/// Passes the trace through `policy`. `estimate` may be null. The SSD's luck is drawn from a fixed
/// seed, so that equal input gives equal times. kInvalidArgument names a policy that there is not.
Result<StepTimes> TimeSteps(const CacheReplay& replay, const std::string& policy, uint32_t slots,
                            const StepEstimate* estimate);

/// The fewest slots with which the p99 of a step is at most `p99_ns`; nothing if no memory does it.
/// The trace has kLeastP99Steps.
Result<std::optional<uint32_t>> SlotsForP99(const CacheReplay& replay, const std::string& policy,
                                            const StepEstimate& estimate, double p99_ns);

}  // namespace cairn
