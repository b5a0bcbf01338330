// LocalRows: the blocks a session is still writing, per layer and KV head: the unfinished tail and
// the rows of the step under way. Rows beyond the committed count are scratch until a step ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/options.h"

namespace cairn {

class LocalRows {
 public:
  LocalRows(const SessionShape& shape, int32_t max_step_rows);

  /// Blocks that fit per (layer, head).
  int32_t capacity_blocks() const { return blocks_; }
  std::byte* block(int32_t layer, int32_t head, int32_t index) {
    return data_.data() + Offset(layer, head, index);
  }
  const std::byte* block(int32_t layer, int32_t head, int32_t index) const {
    return data_.data() + Offset(layer, head, index);
  }

  /// Writes `rows` keys and values of one layer and head from local row `first` on. `k` and `v`
  /// are [rows, D] f32, un-rotated, `stride` elements between rows.
  void Append(const RopeTable& rope, int32_t layer, int32_t head, int32_t first, int32_t rows,
              const float* k, const float* v, int64_t stride);

  /// Puts the first `complete` blocks into the form in which they are stored.
  void Seal(int32_t complete);
  /// A payload of the session's block shape, once Seal made it.
  const std::byte* sealed(int32_t layer, int32_t head, int32_t index) const {
    if (sealed_shape_.dtype == shape_.dtype) return block(layer, head, index);
    return sealed_.data() + Place(layer, head, index) * sealed_shape_.payload_bytes();
  }

  /// Makes block `complete` block 0 again, keeping `tail_rows` rows of it.
  void DropBlocks(int32_t complete, int32_t tail_rows);

  /// The first `rows` rows of block 0 of all layers and heads: K rows, V rows, per (layer, head).
  std::string SaveTail(int32_t rows) const;
  /// kCorruption if the size does not fit.
  Status LoadTail(const std::string& bytes, int32_t rows);

 private:
  size_t Place(int32_t layer, int32_t head, int32_t index) const {
    return (static_cast<size_t>(layer) * heads_ + head) * blocks_ + index;
  }
  size_t Offset(int32_t layer, int32_t head, int32_t index) const {
    return Place(layer, head, index) * payload_bytes_;
  }

  BlockShape shape_;  // of blocks that grow
  BlockShape sealed_shape_;
  int32_t layers_;
  int32_t heads_;
  int32_t blocks_;
  size_t payload_bytes_;
  std::vector<std::byte> data_;
  std::vector<std::byte> sealed_;  // where it is another shape
};

}  // namespace cairn
