// Rotary embedding inside kernels.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

namespace cairn::cuda {

/// Columns of pair c, and its angle's cosine and sine at a position.
struct Pair {
  int first, second;
  float cosine, sine;
};

__device__ __forceinline__ Pair PairAt(const Rotation& rotation, int dim, int position, int c) {
  const int half = dim / 2;
  const float* row = rotation.table + static_cast<int64_t>(position) * dim;
  Pair pair;
  pair.first = rotation.interleaved ? 2 * c : c;
  pair.second = rotation.interleaved ? 2 * c + 1 : half + c;
  pair.cosine = row[c];
  pair.sine = row[half + c];
  return pair;
}

/// a and b rotated. Rounded after each product, as a CPU without fused ones does, so that keys
/// written here are those written there, bit by bit.
__device__ __forceinline__ void RotatePair(const Pair& pair, float* a, float* b) {
  const float x = *a;
  const float y = *b;
  *a = __fsub_rn(__fmul_rn(x, pair.cosine), __fmul_rn(y, pair.sine));
  *b = __fadd_rn(__fmul_rn(y, pair.cosine), __fmul_rn(x, pair.sine));
}

}  // namespace cairn::cuda
