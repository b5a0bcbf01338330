// BlockShape: where keys and values lie inside one block's payload.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace cairn {

/// A payload is K[B, D] then V[B, D], row-major, of one dtype, without gaps. Keys are
/// block-relative: row t is rotated by t (spec "block-relative keys"), so a block is valid at any
/// slot. In landmark mode row B−1 is the landmark; its value row is never read.
struct BlockShape {
  int32_t block_rows = 64;  ///< B
  int32_t head_dim = 64;    ///< D, even
  DType dtype = DType::kF16;

  size_t row_bytes() const { return static_cast<size_t>(head_dim) * DTypeBytes(dtype); }
  size_t key_offset(int32_t row) const { return static_cast<size_t>(row) * row_bytes(); }
  size_t value_offset(int32_t row) const {
    return static_cast<size_t>(block_rows + row) * row_bytes();
  }
  size_t payload_bytes() const { return 2 * static_cast<size_t>(block_rows) * row_bytes(); }
};

}  // namespace cairn
