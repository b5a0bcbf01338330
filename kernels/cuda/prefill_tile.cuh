// The queries that a block of threads takes: some of a KV head's T·G, row t and head g of a group
// being query t·G + g.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

namespace cairn::cuda {

inline constexpr int kTileRows = 32;  // queries of a tile

struct Tile {
  int head;
  int64_t first;
  int queries;
};

/// That of the block of threads, blocks being [tiles, heads].
__device__ __forceinline__ Tile OwnTile(const AttendArgs& args) {
  const int64_t all = static_cast<int64_t>(args.rows) * args.group;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTileRows;
  const int64_t left = all - first;
  return {static_cast<int>(blockIdx.y), first,
          static_cast<int>(left < kTileRows ? left : kTileRows)};
}

inline dim3 TileGrid(const AttendArgs& args) {
  const int64_t queries = static_cast<int64_t>(args.rows) * args.group;
  return {static_cast<unsigned>((queries + kTileRows - 1) / kTileRows),
          static_cast<unsigned>(args.heads), 1};
}

/// Row t and query head of the tile's query i.
struct QueryPlace {
  int64_t row, head;
};

__device__ __forceinline__ QueryPlace PlaceOf(const AttendArgs& args, const Tile& tile, int i) {
  const int64_t query = tile.first + i;
  return {query / args.group, static_cast<int64_t>(tile.head) * args.group + query % args.group};
}

__device__ __forceinline__ const float* QueryAt(const AttendArgs& args, const Tile& tile, int i) {
  const QueryPlace place = PlaceOf(args, tile, i);
  return args.q + place.row * args.q_row_stride + place.head * args.layout.head_dim;
}

__device__ __forceinline__ float* OutputAt(const AttendArgs& args, const Tile& tile, int i) {
  const QueryPlace place = PlaceOf(args, tile, i);
  return args.o + place.row * args.o_row_stride + place.head * args.layout.head_dim;
}

__device__ __forceinline__ float* LseAt(const AttendArgs& args, const Tile& tile, int i) {
  const QueryPlace place = PlaceOf(args, tile, i);
  return args.lse + place.row * args.heads * args.group + place.head;
}

__device__ __forceinline__ int PositionOf(const AttendArgs& args, const Tile& tile, int i) {
  return args.q_positions[(tile.first + i) / args.group];
}

}  // namespace cairn::cuda
