// Runs of 16 blocks, starting anew in every chunk of a range. A search keeps the largest score of
// each: the k best blocks lie in the k best runs (exact_search_many.cc says why).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "index/block_range.h"

namespace cairn {

inline constexpr int64_t kRunBlocks = 16;

class Runs {
 public:
  explicit Runs(const BlockRange& range)
      : range_(range),
        first_(Count(range.at(0).blocks())),
        per_chunk_(Count(range.chunk_blocks)),
        count_(Begin(range.chunks() - 1) + Count(range.at(range.chunks() - 1).blocks())) {}

  /// The first run of chunk i of the range.
  int64_t Begin(int64_t chunk) const { return chunk == 0 ? 0 : first_ + (chunk - 1) * per_chunk_; }
  int64_t count() const { return count_; }
  int64_t stride() const { return (count_ + 15) / 16 * 16; }  ///< between rows of runs
  /// A run's blocks: all of one chunk.
  ChunkRange Blocks(int64_t run) const {
    const int64_t chunk = run < first_ ? 0 : 1 + (run - first_) / per_chunk_;
    const ChunkRange piece = range_.at(chunk);
    const int64_t skipped = (run - Begin(chunk)) * kRunBlocks;
    const int64_t begin = piece.begin + skipped;
    return {piece.chunk, begin, std::min(begin + kRunBlocks, piece.end), piece.offset + skipped};
  }
  /// Appends the ordinals of a run's blocks.
  void AppendBlocks(int64_t run, std::vector<int64_t>* ordinals) const {
    const ChunkRange blocks = Blocks(run);
    for (int64_t b = 0; b < blocks.blocks(); ++b) {
      ordinals->push_back(range_.begin + blocks.offset + b);
    }
  }

 private:
  static int64_t Count(int64_t blocks) { return (blocks + kRunBlocks - 1) / kRunBlocks; }

  const BlockRange range_;
  const int64_t first_;  // runs of the first chunk
  const int64_t per_chunk_;
  const int64_t count_;
};

}  // namespace cairn
