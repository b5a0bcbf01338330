// How Attend divides its scratch memory. Internal to kernels/.
//
// Queries are handled in passes of at most PassLanes() of them, so that the state of a pass stays
// in the second-level cache while one block after another is read. A lane is one query: row t and
// head g of the group are lane t·G + g. Lanes lie in tiles of as many as three vectors hold; the
// sizes here hold for every vector of up to 16 floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention.h"

namespace cairn {

inline constexpr int32_t kTileVectors = 3;    // vectors side by side in a tile
inline constexpr int32_t kMaxTileLanes = 48;  // kTileVectors vectors of 16 floats
inline constexpr int32_t kRowPadding = 8;     // rows and columns of products come in eights
/// Up to here a query is worked on along D.
inline constexpr int32_t kFewQueries = kExactQueries;
inline constexpr int64_t kPassBytes = 512 << 10;

constexpr int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

/// Sizes in floats of the pieces of scratch. Every piece is a multiple of 16 floats.
struct ScratchSizes {
  explicit ScratchSizes(const AttendParams& params)
      : dim(params.shape.head_dim),
        padded_dim(RoundUp(dim, kRowPadding)),
        padded_rows(RoundUp(params.shape.block_rows, kRowPadding)),
        keys(RoundUp(padded_rows * dim, 16)),
        values(RoundUp(params.shape.block_rows * padded_dim, 16)),
        scores(padded_rows * kMaxTileLanes),
        row(RoundUp(2 * padded_dim, 16)) {
    const int64_t lanes = RoundUp(int64_t{params.rows} * params.group, kMaxTileLanes);
    const int64_t lane_bytes = LaneFloats() * static_cast<int64_t>(sizeof(float));
    const int64_t fit = kPassBytes / lane_bytes / kMaxTileLanes * kMaxTileLanes;
    const int64_t most = fit < kMaxTileLanes ? kMaxTileLanes : fit;
    pass_lanes = lanes < most ? lanes : most;
  }

  /// Floats of state per lane: query, accumulated values, and the tile's five rows of numbers.
  int64_t LaneFloats() const { return dim + padded_dim + 5; }
  int64_t Total() const {
    return keys + values + scores + row + RoundUp(pass_lanes * LaneFloats(), 16);
  }

  int64_t dim;
  int64_t padded_dim;
  int64_t padded_rows;
  int64_t keys;        // [padded_rows, dim]
  int64_t values;      // [B, padded_dim]
  int64_t scores;      // [padded_rows, lanes of a tile]
  int64_t row;         // two rows of D
  int64_t pass_lanes;  // lanes handled at once
};

}  // namespace cairn
