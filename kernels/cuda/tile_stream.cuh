// Keys and values of a list of blocks, tile by tile, as 16-bit numbers in shared memory. While a
// tile is in use the next one is on its way: keys of a block, its values, keys of the next block.
#pragma once

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/block_walk.cuh"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/tensor_core.cuh"

namespace cairn::cuda {

/// Numbers between rows of 16-bit numbers: 8 rows of 16 bytes are in different banks.
__host__ __device__ constexpr int NumberStride(int dim) { return UpToMatrix(dim) + 8; }

/// Whether rows can be copied 16 bytes at a time.
__host__ __device__ constexpr bool HasCopies(const Layout& layout) {
  return layout.row_bytes % kCopyBytes == 0;
}

/// Tiles of kKeys rows. The threads of a block make one each, alike, and take the same tiles.
/// Codes become f16; their scales are the reader's business.
template <Element kElement, int kKeys>
class TileStream {
 public:
  /// `tiles` has room for two, columns from D on being zeros, `codes` for kKeys rows of codes as
  /// they are stored. Blocks of which a query at `highest` sees nothing are left out.
  __device__ TileStream(const AttendArgs& args, int head, int highest, uint16_t* tiles,
                        std::byte* codes)
      : args_(args),
        walk_(args.blocks + static_cast<int64_t>(head) * args.block_stride,
              args.block_counts[head]),
        highest_(highest),
        tiles_(tiles),
        codes_(codes),
        seen_(walk_.Next(args, highest)) {
    AskFor(tiles_);
  }

  /// The next tile: keys or values [first, first + kKeys) of a block, zeros behind those that are
  /// seen up to a multiple of 16. By all threads, as a barrier; the tile taken before is gone.
  __device__ __forceinline__ const uint16_t* Take() {
    WaitForCopies<0>();
    uint16_t* const tile = tiles_ + turn_ * Numbers();
    if constexpr (kElement == Element::kQ8) Unpack(tile);
    __syncthreads();
    turn_ ^= 1;
    Advance();
    AskFor(tiles_ + turn_ * Numbers());
    __syncwarp();  // lanes ask for unlike numbers of rows, and go on together
    return tile;
  }

 private:
  __device__ int Numbers() const { return kKeys * NumberStride(args_.layout.head_dim); }
  __device__ int Rows() const { return values_ ? seen_.sight.rows : KeyRows(seen_.sight); }

  // A block has a tile of values even where none are seen.
  __device__ void Advance() {
    first_ += kKeys;
    if (first_ < Rows()) return;
    first_ = 0;
    values_ = !values_;
    if (!values_) seen_ = walk_.Next(args_, highest_);
  }

  __device__ void AskFor(uint16_t* tile) {
    if (KeyRows(seen_.sight) == 0) return;  // there are no more
    const Layout& layout = args_.layout;
    const std::byte* payload = seen_.block.payload;
    const std::byte* from =
        values_ ? ValueRow(layout, payload, first_) : KeyRow(layout, payload, first_);
    const int seen = Rows() - first_ < kKeys ? Rows() - first_ : kKeys;
    if (HasCopies(layout)) {
      Copy(from, seen, tile);
    } else {
      Read(from, seen, tile);
    }
  }

  __device__ void Copy(const std::byte* from, int seen, uint16_t* tile) {
    const int chunks = static_cast<int>(args_.layout.row_bytes) / kCopyBytes;
    const int stride = NumberStride(args_.layout.head_dim) * 2;
    const int count = UpToMatrix(seen) * chunks;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
      const int row = i / chunks;
      const int at = i % chunks * kCopyBytes;
      const bool has = row < seen;
      auto* const to = kElement == Element::kQ8
                           ? codes_ + i * kCopyBytes
                           : reinterpret_cast<std::byte*>(tile) + row * stride + at;
      CopyToShared(to, from + (has ? row : 0) * args_.layout.row_bytes + at, has ? kCopyBytes : 0);
    }
    CommitCopies();
  }

  // What this thread has copied of codes.
  __device__ void Unpack(uint16_t* tile) const {
    if (!HasCopies(args_.layout)) return;
    const int chunks = static_cast<int>(args_.layout.row_bytes) / kCopyBytes;
    const int stride = NumberStride(args_.layout.head_dim);
    const int seen = Rows() - first_ < kKeys ? Rows() - first_ : kKeys;
    const int count = UpToMatrix(seen) * chunks;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
      const uint4 codes = reinterpret_cast<const uint4*>(codes_)[i];
      uint4 lower, upper;
      CodesToHalves(codes.x, &lower.x, &lower.y);
      CodesToHalves(codes.y, &lower.z, &lower.w);
      CodesToHalves(codes.z, &upper.x, &upper.y);
      CodesToHalves(codes.w, &upper.z, &upper.w);
      auto* const to =
          reinterpret_cast<uint4*>(tile + i / chunks * stride + i % chunks * kCopyBytes);
      to[0] = lower;
      to[1] = upper;
    }
  }

  // Without copies, pair by pair.
  __device__ void Read(const std::byte* from, int seen, uint16_t* tile) const {
    using Two = Chunk<kElement, 2>;
    const int half = args_.layout.head_dim / 2;
    const int stride = NumberStride(args_.layout.head_dim);
    for (int i = static_cast<int>(threadIdx.x); i < UpToMatrix(seen) * half; i += kThreads) {
      const int row = i / half;
      uint32_t pair = 0;
      if (row < seen) {
        const auto word = Two::Load(from + row * args_.layout.row_bytes, i % half);
        uint32_t rest;
        pair = word;
        if constexpr (kElement == Element::kQ8) CodesToHalves(word, &pair, &rest);
      }
      reinterpret_cast<uint32_t*>(tile + row * stride)[i % half] = pair;
    }
  }

  const AttendArgs& args_;
  BlockWalk walk_;
  const int highest_;
  uint16_t* const tiles_;
  std::byte* const codes_;
  SeenBlock seen_;
  int first_ = 0;
  int turn_ = 0;
  bool values_ = false;
};

}  // namespace cairn::cuda
