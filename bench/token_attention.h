// TokenAttention: lists of chosen blocks on a device, strewn over a pool, as a decoded token
// attends over them.
#pragma once

#include <cstdint>
#include <vector>

#include "base/device.h"
#include "base/error.h"
#include "bench/device_rig.h"
#include "bench/device_shape.h"
#include "kernels/cuda/attention.h"

namespace cairn {

/// Blocks of a pool on the device, which outlives what reads them, in the order they are taken in.
struct StrewnBlocks {
  std::byte* pool = nullptr;
  std::vector<int64_t> order;
};

/// What one launch attends over, and how many launches differ.
struct AttendLists {
  int32_t heads = 0;   ///< KV heads, a list of blocks for each
  int32_t blocks = 0;  ///< of a list
  int32_t calls = 1;   ///< with other lists each
  int64_t call_blocks() const { return int64_t{heads} * blocks; }
};

/// The lists of all calls, [calls, heads, blocks]: no two have a block in common, nor one twice,
/// until all of `strewn`, which are blocks of this shape, are taken; then they are taken again.
std::vector<cuda::PlacedBlock> PlaceLists(const StrewnBlocks& strewn, const BlockShape& shape,
                                          const AttendLists& lists);

/// Parts that a list of so many blocks can be attended in, of 4 blocks each, 3, 2 and 1: those that
/// differ, ascending.
std::vector<int32_t> PartsOfList(int32_t blocks);

class TokenAttention {
 public:
  /// `rig` must outlive it.
  TokenAttention(DeviceRig& rig, const DeviceShape& shape, const AttendLists& lists)
      : rig_(rig), shape_(shape), lists_(lists) {}
  /// With PlaceLists, for `most_parts` of a list at most. kResource if it does not fit.
  Status Open(const StrewnBlocks& strewn, int32_t most_parts);

  uint64_t call_bytes() const {
    return static_cast<uint64_t>(lists_.call_blocks()) * shape_.block.payload_bytes();
  }
  /// Puts a call on the rig's stream, each of its lists in so many parts.
  Status Put(int32_t call, int32_t parts);

 private:
  DeviceRig& rig_;
  const DeviceShape shape_;
  const AttendLists lists_;
  DeviceBuffer queries_, rope_, positions_, placed_, counts_, arrived_, scratch_, o_, lse_;
};

}  // namespace cairn
