// LogBuckets: the arithmetic of histograms whose buckets are as wide as a share of their value.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace cairn {

/// Values below 2 * kSteps have a bucket each; above, every power of two is cut into kSteps =
/// 2^kStepBits. Values of kMaxBits bits and more share the last bucket.
template <int kStepBits, int kMaxBits>
struct LogBuckets {
  static constexpr uint64_t kSteps = uint64_t{1} << kStepBits;
  static constexpr int kBits = kMaxBits;
  static constexpr size_t kCount = kSteps * (kMaxBits - kStepBits + 1);

  static size_t BucketOf(uint64_t value) {
    value = std::min(value, (uint64_t{1} << kMaxBits) - 1);
    if (value < kSteps) return value;
    const int shift = std::bit_width(value) - 1 - kStepBits;
    return (static_cast<size_t>(shift) << kStepBits) + (value >> shift);
  }

  static uint64_t MiddleOf(size_t bucket) {
    if (bucket < 2 * kSteps) return bucket;
    const int shift = static_cast<int>(bucket >> kStepBits) - 1;
    const uint64_t lowest = ((bucket & (kSteps - 1)) | kSteps) << shift;
    return lowest + (uint64_t{1} << shift) / 2;
  }
};

}  // namespace cairn
