// The queries that a choice looks at, inside kernels.
#pragma once

#include "kernels/cuda/rotate.cuh"

namespace cairn::cuda {

/// A query, and where its results belong.
struct Query {
  const float* q;
  int position;
  int head;
  int64_t place;
};

/// Of sampled row i and query head h.
__device__ __forceinline__ Query QueryOf(const Sampled& sampled, int i, int h) {
  const int row = sampled.first + i * sampled.stride;
  Query query;
  query.q = sampled.q + row * sampled.q_row_stride + static_cast<int64_t>(h) * sampled.dim;
  query.position = sampled.positions == nullptr ? 0 : sampled.positions[row];
  query.head = h / sampled.group;
  query.place =
      (static_cast<int64_t>(query.head) * sampled.rows + i) * sampled.group + h % sampled.group;
  return query;
}

__device__ __forceinline__ bool IsNumber(float x) {
  return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u;
}

inline constexpr int32_t kNothingChosen = 1 << 30;  // kNoChoice

/// Writes the columns of pair c of a query: rotated by its distance from `slot_position`, scaled,
/// and rounded to bf16 if that is wanted. `missing` gets kNothingChosen if they are no numbers.
__device__ __forceinline__ void RotateForSearch(const Sampled& sampled, const Rotation& rotation,
                                                int slot_position, bool bf16, const Query& query,
                                                int c, float* target, int32_t* missing) {
  const Pair pair = PairAt(rotation, sampled.dim, query.position - slot_position, c);
  float a = query.q[pair.first];
  float b = query.q[pair.second];
  RotatePair(pair, &a, &b);
  a = __fmul_rn(a, sampled.scale);
  b = __fmul_rn(b, sampled.scale);
  if (!IsNumber(a) || !IsNumber(b)) atomicOr(missing, kNothingChosen);
  target[pair.first] = bf16 ? Bf16ToFloat(FloatToBf16(a)) : a;
  target[pair.second] = bf16 ? Bf16ToFloat(FloatToBf16(b)) : b;
}

/// The score of a key for a query that is so far from it. By a warp; every lane gets it.
__device__ __forceinline__ float NearScore(const Sampled& sampled, const Rotation& rotation,
                                           const Query& query, int distance, const float* key) {
  float sum = 0.0f;
  for (int c = static_cast<int>(threadIdx.x) % kWarp; c < sampled.dim / 2; c += kWarp) {
    const Pair pair = PairAt(rotation, sampled.dim, distance, c);
    float a = query.q[pair.first];
    float b = query.q[pair.second];
    RotatePair(pair, &a, &b);
    sum += a * key[pair.first] + b * key[pair.second];
  }
  return SumOverLanes(sum, kWarp) * sampled.scale;
}

}  // namespace cairn::cuda
