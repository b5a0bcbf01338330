// Where the parts of a sketch lie: f16 low[D], f16 step[D], f32 unit, u8 off[B], then the codes,
// channel by channel: of rows t and t + half in one byte. So a product adds a channel to the sums
// of many rows at once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/block_shape.h"

namespace cairn {

struct KeySketchLayout {
  explicit KeySketchLayout(const BlockShape& shape)
      : dim(static_cast<size_t>(shape.head_dim)),
        rows(static_cast<size_t>(shape.block_rows)),
        half((rows + 1) / 2) {}

  size_t steps() const { return dim * sizeof(uint16_t); }
  size_t unit() const { return 2 * steps(); }
  size_t off() const { return unit() + sizeof(float); }
  size_t codes() const { return off() + rows; }
  size_t bytes() const { return codes() + dim * half; }

  size_t dim, rows, half;
};

}  // namespace cairn
