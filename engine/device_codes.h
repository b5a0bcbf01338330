// DeviceCodes: the part of a DeviceIndex that is codes of 8 bits. A chunk of blocks is coded when
// it is complete; what is behind the last one the index keeps as it came.
//
// Codes follow from the vectors and their order alone. Only a truncation into a chunk leaves its
// codes in use for the blocks that stay, unless the index has kept them as they came; when the
// chunk is complete again these are coded anew, as what their codes said.
#pragma once

#include <cstdint>
#include <vector>

#include "base/device.h"
#include "index/landmark_index.h"
#include "kernels/cuda/chunk_codes.h"

namespace cairn {

class DeviceCodes {
 public:
  /// `device` must outlive it.
  DeviceCodes(const IndexOptions& options, Device& device);

  static int64_t ChunkBlocks(const IndexOptions& options);
  /// What codes of so many blocks take, reserved at once.
  static uint64_t MemoryBytes(const IndexOptions& options, int64_t blocks);

  int64_t chunk_blocks() const { return chunk_blocks_; }
  /// Blocks of a partition that are codes; all others are behind them.
  int64_t coded(int32_t partition) const { return coded_[static_cast<size_t>(partition)]; }
  uint64_t memory_bytes() const { return codes_.bytes() + scales_.bytes(); }

  /// Room for the complete chunks of so many blocks in every partition: no more than that if there
  /// was none; else a quarter more than there was, of many a sixteenth, for old and new are both
  /// there while codes move. True if they have, which the host waits for.
  Result<bool> Reserve(int64_t blocks, DeviceStream& stream);
  /// Codes the chunk that ends with block `end` of partitions [first, first + count). `plain` has
  /// the blocks of the chunk as they came, plain_stride numbers from one partition to the next.
  Status Code(int32_t first, int32_t count, int64_t end, const std::byte* plain,
              int64_t plain_stride, DeviceStream& stream);
  /// True if there are fewer codes now.
  bool Truncate(int32_t first, int32_t count, int64_t size);
  /// How many of `count` partitions from `first` on have as many codes as that one.
  int32_t Alike(int32_t first, int32_t count) const;
  /// What to score of blocks [begin, end), all of them codes, without queries and scores.
  ScoreCodesParams ParamsOf(int32_t first, int32_t count, int64_t begin, int64_t end) const;

 private:
  int32_t chunk_vectors() const {
    return static_cast<int32_t>(chunk_blocks_) * options_.representatives;
  }
  int64_t chunk_codes() const { return int64_t{chunk_vectors()} * CodedDim(options_.dim); }
  int64_t chunk_scales() const { return 2 * CodedDim(options_.dim); }
  /// Of a chunk of a partition.
  int8_t* CodesAt(int32_t partition, int64_t chunk) const {
    return reinterpret_cast<int8_t*>(codes_.data()) +
           (partition * capacity_ + chunk) * chunk_codes();
  }
  float* ScalesAt(int32_t partition, int64_t chunk) const {
    return reinterpret_cast<float*>(scales_.data()) +
           (partition * capacity_ + chunk) * chunk_scales();
  }

  const IndexOptions options_;
  Device& device_;
  const int64_t chunk_blocks_;
  std::vector<int64_t> coded_;
  int64_t capacity_ = 0;  // chunks of each partition
  DeviceBuffer codes_;    // [partitions, capacity, chunk vectors, CodedDim]
  DeviceBuffer scales_;   // [partitions, capacity, 2, CodedDim]
};

}  // namespace cairn
