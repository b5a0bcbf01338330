// LatencyHistogram: counts of durations in buckets whose width grows with the duration, so that a
// percentile is within 3.2 % of the truth from one nanosecond to four minutes.
//
// A plain value of about 2.3 KiB without allocations; not thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/log_buckets.h"

namespace cairn {

class LatencyHistogram {
 public:
  void Record(uint64_t latency_ns);
  /// Adds everything `other` has recorded.
  void Merge(const LatencyHistogram& other);

  /// The duration that a share `q` in [0, 1] of the recorded ones does not exceed; 0 if empty.
  uint64_t Percentile(double q) const;
  /// How many were shorter than 2^`power` nanoseconds; exact, but from power 38 on all are.
  uint64_t CountBelow(int power) const;
  uint64_t count() const { return count_; }
  uint64_t max() const { return max_ns_; }
  uint64_t sum() const { return sum_ns_; }

 private:
  using Buckets = LogBuckets<4, 38>;

  std::array<uint32_t, Buckets::kCount> counts_{};
  uint64_t count_ = 0;
  uint64_t sum_ns_ = 0;
  uint64_t max_ns_ = 0;
};

}  // namespace cairn
