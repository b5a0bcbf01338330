// BlockShape: where keys and values lie inside one block's payload.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace cairn {

/// The largest head dimension D that plain kernels have room for on the stack.
inline constexpr int32_t kMaxHeadDim = 1024;
/// The most rows a block has.
inline constexpr int32_t kMaxBlockRows = 4096;

/// A payload is K[B, D] then V[B, D], row-major, of one dtype, without gaps. Keys are
/// block-relative: row t is rotated by t (spec "block-relative keys"), so a block is valid at any
/// slot. In landmark mode row B−1 is the landmark; its value row is never read.
///
/// kQ8: int8 codes, and behind them f32 scales of K's channels, [D], and of V's, [D]. A number is
/// its code times its channel's scale. Scales follow from all rows of a block, so a block that is
/// still growing has rows of another type, see `open`.
struct BlockShape {
  int32_t block_rows = 64;  ///< B
  int32_t head_dim = 64;    ///< D, even
  DType dtype = DType::kF16;

  size_t row_bytes() const { return static_cast<size_t>(head_dim) * DTypeBytes(dtype); }
  size_t key_offset(int32_t row) const { return static_cast<size_t>(row) * row_bytes(); }
  size_t value_offset(int32_t row) const {
    return static_cast<size_t>(block_rows + row) * row_bytes();
  }
  /// kQ8: of K's scales; V's follow.
  size_t scales_offset() const { return value_offset(block_rows); }
  size_t payload_bytes() const {
    const size_t scales = dtype == DType::kQ8 ? 2 * static_cast<size_t>(head_dim) : 0;
    return scales_offset() + scales * sizeof(float);
  }
  /// The shape in which rows are appended, until the block is complete.
  BlockShape open() const {
    return {block_rows, head_dim, dtype == DType::kQ8 ? DType::kF16 : dtype};
  }
};

}  // namespace cairn
