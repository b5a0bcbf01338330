// CodeStore: the representatives of one partition's blocks as 8-bit codes, half of what bf16 takes
// and of about the same error.
//
// Vectors are coded by chunks: of every dimension the range within the chunk is cut into 255 steps.
// A chunk that is not full keeps its vectors as they came, so codes depend on the vectors and their
// order alone, not on how many were appended at once. Truncate into a coded chunk is the exception:
// what is left of it is what the codes say, but for the blocks that were not coded at the last
// Keep, which are kept as they came. Owns its memory. One writer or any number of readers at a
// time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "index/tile_dots.h"

namespace cairn {

/// Value of code c in dimension d: low[d] + c·step[d]; step is bf16. Where all vectors of a chunk
/// are equal, low is exact and codes are 0.
struct CodeScale {
  std::vector<float> low;
  std::vector<uint16_t> step;
  std::vector<uint8_t> mean;  ///< code, rounded
};

class CodeStore {
 public:
  /// A block has `representatives` vectors of `dim` elements.
  CodeStore(int32_t dim, int32_t representatives);

  /// Appends `count` blocks; `vectors` is [count, representatives, dim] f32, finite as bf16.
  void Append(int64_t count, const float* vectors);
  /// What is held now is what Truncate comes back to, whatever is appended meanwhile.
  void Keep();
  /// Forgets blocks with ordinal ≥ size.
  void Truncate(int64_t size);

  int64_t size() const { return coded_blocks() + tail_blocks_; }
  int32_t dim() const { return dim_; }
  int32_t representatives() const { return representatives_; }
  uint64_t memory_bytes() const;

  /// Block `b` is block b % chunk_blocks() of chunk b / chunk_blocks().
  int64_t chunk_blocks() const { return chunk_blocks_; }
  int64_t chunk_vectors() const { return chunk_blocks_ * representatives_; }
  int64_t chunk_tiles() const { return (chunk_vectors() + kTileVectors - 1) / kTileVectors; }
  int64_t padded_dim() const { return (dim_ + kCodesAtOnce - 1) / kCodesAtOnce * kCodesAtOnce; }
  /// Chunks [0, coded_chunks()) are codes; the one behind them, if there is one, is the tail.
  int64_t coded_chunks() const { return static_cast<int64_t>(chunks_.size()); }

  /// Tiles of a coded chunk (tile_dots.h); what pads the last one means nothing.
  const uint8_t* tiles(int64_t chunk) const {
    return chunks_[static_cast<size_t>(chunk)].codes.data()->bytes;
  }
  const CodeScale& scale(int64_t chunk) const { return chunks_[static_cast<size_t>(chunk)].scale; }
  /// [blocks of the tail, R, dim] f32.
  const float* tail() const { return tail_.data(); }

  /// A block's vectors as f32 [R, dim].
  void Read(int64_t block, float* vectors) const;

 private:
  struct alignas(64) Line {
    uint8_t bytes[64];
  };
  struct Chunk {
    std::vector<Line> codes;
    CodeScale scale;
  };
  int64_t coded_blocks() const { return coded_chunks() * chunk_blocks_; }
  size_t block_floats() const {
    return static_cast<size_t>(representatives_) * static_cast<size_t>(dim_);
  }
  void Seal();

  int32_t dim_;
  int32_t representatives_;
  int64_t chunk_blocks_;
  int64_t tail_blocks_ = 0;
  std::vector<Chunk> chunks_;
  std::vector<float> tail_;
  int64_t kept_ = 0;              // blocks at the last Keep
  std::vector<float> kept_tail_;  // the tail then, if its chunk was coded since
};

}  // namespace cairn
