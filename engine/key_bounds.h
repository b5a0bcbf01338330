// KeyBounds: what can be said of every block's weight in a softmax without reading the block.
//
// Landmark mode: a block weighs as its landmark's score says, and landmark keys are kept as they
// are, so this is exact. Unmodified mode: sketches of all keys (kernels/key_sketch.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/options.h"

namespace cairn {

/// Bytes of one block's part in one layer and KV head, and the part itself, as it is stored too.
size_t KeyBoundBytes(const SessionShape& shape);
void WriteKeyBound(const SessionShape& shape, const std::byte* payload, std::byte* part);

/// The mean of a block's values over its tokens, without the landmark's: D floats.
void ValueMean(const SessionShape& shape, const std::byte* payload, float* mean);

/// One writer or any number of readers at a time. `shape` must outlive it.
class KeyBounds {
 public:
  /// With `values` it keeps what stands in for blocks, too.
  KeyBounds(const SessionShape& shape, bool values);

  /// Adds the next block of a partition (layer · Hkv + head): its part.
  void Add(int32_t partition, const std::byte* part) {
    parts_[partition].insert(parts_[partition].end(), part, part + part_bytes_);
  }
  bool has_values() const { return has_values_; }
  /// The mean of its values, of the next block.
  void AddValues(int32_t partition, const float* mean);
  /// [size, D] bf16.
  const uint16_t* values(int32_t partition) const { return values_[partition].data(); }
  /// Forgets blocks with ordinal ≥ size in all partitions.
  void Truncate(int64_t size);
  int64_t size(int32_t partition) const {
    return static_cast<int64_t>(parts_[partition].size() / part_bytes_);
  }

  /// Estimates and bounds of log weights of blocks [begin, end) for queries [rows, D], which are
  /// scaled and rotated to the slot where all of them stand; results are [rows, end − begin].
  void Weigh(int32_t partition, int64_t begin, int64_t end, const float* queries, int32_t rows,
             float* estimates, float* bounds) const;

  uint64_t memory_bytes() const;

 private:
  bool landmarks() const { return shape_.mode == AttentionMode::kLandmark; }

  const SessionShape& shape_;
  size_t part_bytes_;
  bool has_values_;
  std::vector<std::vector<std::byte>> parts_;  // by partition
  std::vector<std::vector<uint16_t>> values_;  // by partition
};

}  // namespace cairn
