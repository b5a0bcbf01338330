// ChunkTails: on the host, the blocks that a DeviceIndex of codes must have as they came: those of
// every partition's last chunk, as long as it is not complete, and the ones that were not codes
// when the index was kept, if their chunk was coded since.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace cairn {

class ChunkTails {
 public:
  ChunkTails(int32_t partitions, int64_t chunk_blocks, size_t block_bytes)
      : chunk_blocks_(chunk_blocks),
        block_bytes_(block_bytes),
        tails_(static_cast<size_t>(partitions)) {}

  /// Blocks [first, first + count) of a partition, of one chunk, are added.
  void Add(int32_t partition, int64_t first, int64_t count, const std::byte* blocks) {
    auto& bytes = tails_[static_cast<size_t>(partition)].bytes;
    const size_t begin = BytesBefore(first);
    bytes.resize(std::max(bytes.size(), begin + static_cast<size_t>(count) * block_bytes_));
    std::copy_n(blocks, static_cast<size_t>(count) * block_bytes_,
                bytes.begin() + static_cast<std::ptrdiff_t>(begin));
  }
  /// The chunk before block `end`, all of which came by Add, becomes codes.
  void Code(int32_t partition, int64_t end) {
    Tail& tail = tails_[static_cast<size_t>(partition)];
    if (tail.kept <= end - chunk_blocks_ || tail.kept >= end) return;
    tail.kept_bytes.assign(tail.bytes.begin(), tail.bytes.begin() + static_cast<std::ptrdiff_t>(
                                                                        BytesBefore(tail.kept)));
  }
  /// A partition holds `size` blocks and is to come back to them.
  void Keep(int32_t partition, int64_t size) {
    Tail& tail = tails_[static_cast<size_t>(partition)];
    tail.kept = size;
    tail.kept_bytes = {};
  }
  /// A partition is cut to `size` blocks.
  void Cut(int32_t partition, int64_t size) {
    if (size < tails_[static_cast<size_t>(partition)].kept) Keep(partition, size);
  }
  /// The blocks before `size` of its chunk, if all were kept and are codes by now; else nothing.
  std::span<const std::byte> Kept(int32_t partition, int64_t size) const {
    const Tail& tail = tails_[static_cast<size_t>(partition)];
    if (size > tail.kept || size / chunk_blocks_ != tail.kept / chunk_blocks_) return {};
    return std::span(tail.kept_bytes).first(std::min(BytesBefore(size), tail.kept_bytes.size()));
  }

 private:
  struct Tail {
    std::vector<std::byte> bytes;  // of the last chunk, from its first block on
    int64_t kept = 0;              // blocks
    std::vector<std::byte> kept_bytes;
  };
  size_t BytesBefore(int64_t block) const {
    return static_cast<size_t>(block % chunk_blocks_) * block_bytes_;
  }

  int64_t chunk_blocks_;
  size_t block_bytes_;
  std::vector<Tail> tails_;
};

}  // namespace cairn
