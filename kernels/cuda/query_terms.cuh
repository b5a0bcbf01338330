// Queries as products of 16-bit numbers take them: rotated, each a sum of a few such numbers.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/rotate.cuh"
#include "kernels/cuda/tensor_core.cuh"

namespace cairn::cuda {

/// The numbers that products with a payload are of: codes become f16, which has them all.
template <Element kElement>
inline constexpr Element kFactor = kElement == Element::kBF16 ? Element::kBF16 : Element::kF16;
/// So many of them add up to what f32 has.
template <Element kElement>
inline constexpr int kMostTerms = kElement == Element::kBF16 ? 3 : 2;

/// A power of two that brings numbers up to `largest` to at most 2, and its inverse: f16 reaches
/// neither far up nor far down.
__device__ __forceinline__ float Shrink(float largest, float* inverse) {
  const unsigned exponent = __float_as_uint(largest) >> 23;
  const unsigned bounded = exponent < 1 ? 127 : exponent > 253 ? 253 : exponent;
  *inverse = __uint_as_float(bounded << 23);
  return __uint_as_float((254 - bounded) << 23);
}

/// Query `q`, [D], rotated by `offset` rows, times scale and, of codes, K's scales; shrunk, in
/// terms: number c of term i at to[i · apart + c]. Zeros if the offset is negative. Returns what
/// products are to be multiplied by, to every lane. By a warp, of which a lane has up to kPairs
/// pairs of columns.
template <Element kElement, int kPairs>
__device__ __forceinline__ float RotateIntoTerms(const AttendArgs& args, const float* q, int offset,
                                                 const float* scales, int terms, uint16_t* to,
                                                 int apart) {
  const int dim = args.layout.head_dim;
  const int half = dim / 2;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float numbers[kPairs][2];
  float largest = 0.0f;
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    numbers[j][0] = numbers[j][1] = 0.0f;
    const int c = lane + j * kWarp;
    if (c >= half || offset < 0) continue;
    const Pair pair = PairAt(args.rotation, dim, offset, c);
    numbers[j][0] = q[pair.first] * args.scale;
    numbers[j][1] = q[pair.second] * args.scale;
    RotatePair(pair, &numbers[j][0], &numbers[j][1]);
    if constexpr (kElement == Element::kQ8) {
      numbers[j][0] *= scales[pair.first];
      numbers[j][1] *= scales[pair.second];
    }
    largest = fmaxf(largest, fmaxf(fabsf(numbers[j][0]), fabsf(numbers[j][1])));
  }
  float inverse;
  const float shrink = Shrink(MaxOverWarp(largest), &inverse);
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    const int c = lane + j * kWarp;
    if (c >= half) continue;
    const int first = args.rotation.interleaved ? 2 * c : c;
    const int second = args.rotation.interleaved ? 2 * c + 1 : half + c;
    numbers[j][0] *= shrink;
    numbers[j][1] *= shrink;
    for (int term = 0; term < terms; ++term) {
      const uint32_t both = TakeTerms<kFactor<kElement>>(numbers[j]);
      to[term * apart + first] = static_cast<uint16_t>(both);
      to[term * apart + second] = static_cast<uint16_t>(both >> 16);
    }
  }
  return inverse;
}

}  // namespace cairn::cuda
