#include "storage/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace cairn {

size_t LatencyHistogram::BucketOf(uint64_t value) {
  value = std::min(value, (uint64_t{1} << kMaxBits) - 1);
  if (value < kSteps) return value;
  const int shift = std::bit_width(value) - 1 - kStepBits;
  return (static_cast<size_t>(shift) << kStepBits) + (value >> shift);
}

uint64_t LatencyHistogram::MiddleOf(size_t bucket) {
  if (bucket < 2 * kSteps) return bucket;
  const int shift = static_cast<int>(bucket >> kStepBits) - 1;
  const uint64_t lowest = ((bucket & (kSteps - 1)) | kSteps) << shift;
  return lowest + (uint64_t{1} << shift) / 2;
}

void LatencyHistogram::Record(uint64_t latency_ns) {
  uint32_t& bucket = counts_[BucketOf(latency_ns)];
  if (bucket < std::numeric_limits<uint32_t>::max()) ++bucket;
  ++count_;
  sum_ns_ += latency_ns;
  max_ns_ = std::max(max_ns_, latency_ns);
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  constexpr uint64_t kMost = std::numeric_limits<uint32_t>::max();
  for (size_t i = 0; i < kBuckets; ++i) {
    const uint64_t both = uint64_t{counts_[i]} + other.counts_[i];
    counts_[i] = static_cast<uint32_t>(std::min(both, kMost));
  }
  count_ += other.count_;
  sum_ns_ += other.sum_ns_;
  max_ns_ = std::max(max_ns_, other.max_ns_);
}

uint64_t LatencyHistogram::Percentile(double q) const {
  if (count_ == 0) return 0;
  const double share = std::clamp(q, 0.0, 1.0) * static_cast<double>(count_);
  const uint64_t rank = std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(share)));
  if (rank >= count_) return max_ns_;
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen >= rank) return std::min(MiddleOf(i), max_ns_);
  }
  return max_ns_;
}

}  // namespace cairn
