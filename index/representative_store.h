// RepresentativeStore: the representatives of one partition's blocks, in order, in chunks.
//
// A chunk holds the same number of blocks in every store of the same shape; all but the last are
// full and stay where they are, and the last grows by doubling, so appending never copies more than
// one chunk. Memory past the last representative is allocated up to a multiple of kPadding vectors,
// so that products may run over it; what it holds is finite but means nothing.
// Owns its memory. One writer or any number of readers at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/dtype.h"

namespace cairn {

class RepresentativeStore {
 public:
  static constexpr int64_t kPadding = 64;

  /// `type` is kF32 or kBF16; a block has `representatives` vectors of `dim` elements.
  RepresentativeStore(DType type, int32_t dim, int32_t representatives);

  /// Appends `count` blocks; `vectors` is [count, representatives, dim] f32, rounded to the type.
  void Append(int64_t count, const float* vectors);
  /// Forgets blocks with ordinal ≥ size.
  void Truncate(int64_t size);

  int64_t size() const { return size_; }
  DType type() const { return type_; }
  int32_t dim() const { return dim_; }
  int32_t representatives() const { return representatives_; }
  uint64_t memory_bytes() const;

  /// Block `b` is block b % chunk_blocks() of chunk b / chunk_blocks().
  int64_t chunk_blocks() const { return chunk_blocks_; }
  /// [vectors, dim] of the type, aligned to 64 bytes.
  const std::byte* chunk(int64_t index) const {
    return chunks_[static_cast<size_t>(index)].data()->bytes;
  }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  size_t LinesFor(int64_t blocks) const;
  void GrowChunk(int64_t index, int64_t blocks);

  DType type_;
  int32_t dim_;
  int32_t representatives_;
  int64_t chunk_blocks_;
  int64_t size_ = 0;
  std::vector<std::vector<Line>> chunks_;
};

}  // namespace cairn
