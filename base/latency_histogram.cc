#include "base/latency_histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cairn {

void LatencyHistogram::Record(uint64_t latency_ns) {
  uint32_t& bucket = counts_[Buckets::BucketOf(latency_ns)];
  if (bucket < std::numeric_limits<uint32_t>::max()) ++bucket;
  ++count_;
  sum_ns_ += latency_ns;
  max_ns_ = std::max(max_ns_, latency_ns);
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  constexpr uint64_t kMost = std::numeric_limits<uint32_t>::max();
  for (size_t i = 0; i < Buckets::kCount; ++i) {
    const uint64_t both = uint64_t{counts_[i]} + other.counts_[i];
    counts_[i] = static_cast<uint32_t>(std::min(both, kMost));
  }
  count_ += other.count_;
  sum_ns_ += other.sum_ns_;
  max_ns_ = std::max(max_ns_, other.max_ns_);
}

uint64_t LatencyHistogram::CountBelow(int power) const {
  if (power >= Buckets::kBits) return count_;
  const size_t end = Buckets::BucketOf(uint64_t{1} << power);
  uint64_t below = 0;
  for (size_t i = 0; i < end; ++i) below += counts_[i];
  return below;
}

uint64_t LatencyHistogram::Percentile(double q) const {
  if (count_ == 0) return 0;
  const double share = std::clamp(q, 0.0, 1.0) * static_cast<double>(count_);
  const uint64_t rank = std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(share)));
  if (rank >= count_) return max_ns_;
  uint64_t seen = 0;
  for (size_t i = 0; i < Buckets::kCount; ++i) {
    seen += counts_[i];
    if (seen >= rank) return std::min(Buckets::MiddleOf(i), max_ns_);
  }
  return max_ns_;
}

}  // namespace cairn
