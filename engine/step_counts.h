// StepCounts: steps of sessions whose engine has a device, by who attended.
#pragma once

#include <atomic>
#include <cstdint>

namespace cairn {

/// Of steps that ended. They only grow.
struct StepCounts {
  std::atomic<uint64_t> on_device = 0;
  /// Where the device has no room for what a step works in, or the host must see what is chosen.
  std::atomic<uint64_t> by_host = 0;
};

}  // namespace cairn
