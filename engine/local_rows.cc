#include "engine/local_rows.h"

#include <algorithm>
#include <cstring>

#include "base/parallel.h"
#include "kernels/append.h"
#include "kernels/block_rows.h"

namespace cairn {

LocalRows::LocalRows(const SessionShape& shape, int32_t max_step_rows)
    : shape_(shape.block.open()),
      sealed_shape_(shape.block),
      layers_(shape.layers),
      heads_(shape.kv_heads),
      blocks_((max_step_rows + 2 * shape.block.block_rows - 2) / shape.block.block_rows),
      payload_bytes_(shape_.payload_bytes()),
      data_(static_cast<size_t>(layers_) * heads_ * blocks_ * payload_bytes_) {}

void LocalRows::Append(const RopeTable& rope, int32_t layer, int32_t head, int32_t first,
                       int32_t rows, const float* k, const float* v, int64_t stride) {
  while (rows > 0) {
    const int32_t offset = first % shape_.block_rows;
    const int32_t count = std::min(rows, shape_.block_rows - offset);
    AppendRows(shape_, rope, offset, count, k, v, stride,
               block(layer, head, first / shape_.block_rows));
    first += count;
    rows -= count;
    k += count * stride;
    v += count * stride;
  }
}

void LocalRows::Seal(int32_t complete) {
  if (sealed_shape_.dtype == shape_.dtype) return;
  sealed_.resize(Place(layers_, 0, 0) * sealed_shape_.payload_bytes());
  ParallelFor(static_cast<int64_t>(layers_) * heads_, [&](int64_t task) {
    const auto layer = static_cast<int32_t>(task / heads_);
    const auto head = static_cast<int32_t>(task % heads_);
    for (int32_t i = 0; i < complete; ++i) {
      SealBlock(sealed_shape_, block(layer, head, i),
                sealed_.data() + Place(layer, head, i) * sealed_shape_.payload_bytes());
    }
  });
}

void LocalRows::DropBlocks(int32_t complete, int32_t tail_rows) {
  if (complete == 0 || tail_rows == 0) return;
  const size_t bytes = static_cast<size_t>(tail_rows) * shape_.row_bytes();
  for (int32_t layer = 0; layer < layers_; ++layer) {
    for (int32_t head = 0; head < heads_; ++head) {
      const std::byte* source = block(layer, head, complete);
      std::byte* target = block(layer, head, 0);
      std::memcpy(target, source, bytes);
      std::memcpy(target + shape_.value_offset(0), source + shape_.value_offset(0), bytes);
    }
  }
}

std::string LocalRows::SaveTail(int32_t rows) const {
  const size_t bytes = static_cast<size_t>(rows) * shape_.row_bytes();
  std::string tail;
  tail.reserve(static_cast<size_t>(layers_) * heads_ * 2 * bytes);
  for (int32_t layer = 0; layer < layers_ && rows > 0; ++layer) {
    for (int32_t head = 0; head < heads_; ++head) {
      const char* source = reinterpret_cast<const char*>(block(layer, head, 0));
      tail.append(source, bytes);
      tail.append(source + shape_.value_offset(0), bytes);
    }
  }
  return tail;
}

Status LocalRows::LoadTail(const std::string& tail, int32_t rows) {
  const size_t bytes = static_cast<size_t>(rows) * shape_.row_bytes();
  if (tail.size() != static_cast<size_t>(layers_) * heads_ * 2 * bytes) {
    return Fail(Errc::kCorruption, "the unfinished block holds {} bytes where {} rows need {}",
                tail.size(), rows, static_cast<size_t>(layers_) * heads_ * 2 * bytes);
  }
  const char* source = tail.data();
  for (int32_t layer = 0; layer < layers_ && rows > 0; ++layer) {
    for (int32_t head = 0; head < heads_; ++head) {
      std::byte* target = block(layer, head, 0);
      std::memcpy(target, source, bytes);
      std::memcpy(target + shape_.value_offset(0), source + bytes, bytes);
      source += 2 * bytes;
    }
  }
  return Ok();
}

}  // namespace cairn
