// FineHistogram: counts of values in buckets whose width grows with the value, in the manner of an
// HDR histogram: a percentile is within kErrorPercent of the truth over the whole range.
//
// The ladder records picoseconds, so that steps of some nanoseconds that were timed together keep
// their fractions; the range then reaches to 18 minutes. 22 KiB from the first value on; not
// thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/log_buckets.h"

namespace cairn {

class FineHistogram {
 public:
  /// The most that Percentile is off by: half a bucket, which is 1/128 of its lower edge wide.
  static constexpr double kErrorPercent = 100.0 / 256;

  void Record(uint64_t value);
  /// Adds everything `other` has recorded.
  void Merge(const FineHistogram& other);

  /// The value that a share `q` in [0, 1] of the recorded ones does not exceed; 0 if empty.
  uint64_t Percentile(double q) const;
  /// (value, share of the recorded that do not exceed it), ascending: each bucket that holds
  /// something, thinned to about `most` points.
  std::vector<std::pair<uint64_t, double>> Curve(size_t most) const;
  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  double mean() const;

 private:
  using Buckets = LogBuckets<7, 50>;

  std::vector<uint32_t> counts_;  // empty, or Buckets::kCount
  uint64_t count_ = 0;
  double sum_ = 0;
  uint64_t max_ = 0;
};

}  // namespace cairn
