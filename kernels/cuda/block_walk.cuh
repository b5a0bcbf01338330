// A list of blocks, one after the other.
#pragma once

#include "kernels/cuda/block_softmax.cuh"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

namespace cairn::cuda {

/// A block and what is seen of it: no keys, if there is no block.
struct SeenBlock {
  PlacedBlock block;
  Sight sight;
};

/// The blocks of a list that a query sees, in order. Each is read while the one before it is used.
class BlockWalk {
 public:
  /// Of `count` blocks from `next` on.
  __device__ BlockWalk(const PlacedBlock* next, int count) : next_(next), left_(count) {
    if (left_ > 0) upcoming_ = *next_;
  }

  /// The next of which a query at `position` sees a key.
  __device__ __forceinline__ SeenBlock Next(const AttendArgs& args, int position) {
    SeenBlock seen = {};
    while (left_ > 0 && KeyRows(seen.sight) == 0) {
      seen.block = upcoming_;
      seen.sight = SightOf(args, upcoming_, position - upcoming_.position);
      if (--left_ > 0) upcoming_ = *++next_;
    }
    return seen;
  }

 private:
  const PlacedBlock* next_;
  int left_;  // of the list, with upcoming_
  PlacedBlock upcoming_;
};

}  // namespace cairn::cuda
