// The blocks a search looks at, cut at the borders of a RepresentativeStore's chunks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace cairn {

/// Blocks [begin, end) of one chunk; `offset` is that of `begin` from the first block searched.
struct ChunkRange {
  int64_t chunk;
  int64_t begin;
  int64_t end;
  int64_t offset;

  int64_t blocks() const { return end - begin; }
};

/// Blocks [begin, end) of a store whose chunks hold chunk_blocks each.
struct BlockRange {
  int64_t begin;
  int64_t end;
  int64_t chunk_blocks;

  int64_t blocks() const { return end - begin; }
  int64_t first_chunk() const { return begin / chunk_blocks; }
  int64_t chunks() const {
    return blocks() == 0 ? 0 : (end - 1) / chunk_blocks - first_chunk() + 1;
  }
  ChunkRange at(int64_t i) const {
    const int64_t base = (first_chunk() + i) * chunk_blocks;
    const int64_t low = std::max(begin - base, int64_t{0});
    return {first_chunk() + i, low, std::min(end - base, chunk_blocks), base + low - begin};
  }
};

/// The largest of some scores and Σ exp(score − max); −inf and 0 for none.
struct MaxAndSum {
  float max;
  float sum;
};

/// A running log-sum-exp over parts.
class LseSum {
 public:
  void Add(const MaxAndSum& part) {
    if (part.sum == 0.0f) return;
    const double top = std::max<double>(max_, part.max);
    sum_ = sum_ * std::exp(max_ - top) + part.sum * std::exp(part.max - top);
    max_ = top;
  }
  float Lse() const { return static_cast<float>(max_ + std::log(sum_)); }

 private:
  double max_ = -std::numeric_limits<double>::infinity();
  double sum_ = 0;
};

}  // namespace cairn
