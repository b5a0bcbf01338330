#include "bench/fine_histogram.h"

#include <algorithm>
#include <cmath>

namespace cairn {

void FineHistogram::Record(uint64_t value) {
  if (counts_.empty()) counts_.resize(Buckets::kCount);
  ++counts_[Buckets::BucketOf(value)];
  ++count_;
  sum_ += static_cast<double>(value);
  max_ = std::max(max_, value);
}

void FineHistogram::Merge(const FineHistogram& other) {
  if (counts_.empty()) counts_.resize(Buckets::kCount);
  for (size_t i = 0; i < other.counts_.size(); ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

double FineHistogram::mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

uint64_t FineHistogram::Percentile(double q) const {
  if (count_ == 0) return 0;
  const double share = std::clamp(q, 0.0, 1.0) * static_cast<double>(count_);
  const uint64_t rank = std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(share)));
  if (rank >= count_) return max_;
  uint64_t seen = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= rank) return std::min(Buckets::MiddleOf(i), max_);
  }
  return max_;
}

std::vector<std::pair<uint64_t, double>> FineHistogram::Curve(size_t most) const {
  std::vector<std::pair<uint64_t, double>> curve;
  const auto all = static_cast<double>(count_);
  const double least_step = 1.0 / static_cast<double>(std::max<size_t>(most, 2));
  uint64_t seen = 0;
  double told = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] == 0) continue;
    seen += counts_[i];
    const double share = static_cast<double>(seen) / all;
    // The tail is what people look for: there each further half of the rest is told too.
    const bool far = share - told >= least_step || 1 - share <= (1 - told) / 2;
    if (!curve.empty() && !far && seen < count_) continue;
    curve.emplace_back(seen == count_ ? max_ : Buckets::MiddleOf(i), share);
    told = share;
  }
  return curve;
}

}  // namespace cairn
