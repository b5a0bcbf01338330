// The heaviest of many, by a block of threads, and log-sum-exps of parts, by a warp.
#pragma once

#include "kernels/cuda/device.cuh"

namespace cairn::cuda {

inline constexpr int kEach = 8;                  // keys of a thread
inline constexpr int kShare = kEach * kThreads;  // that are selected from at once

/// A weight and what weighs so much in one number, which is larger the heavier it is, and of equal
/// ones for the first. 0 is none.
__device__ __forceinline__ uint64_t KeyOf(float weight, int ordinal) {
  const uint32_t bits = __float_as_uint(__fadd_rn(weight, 0.0f));  // −0 is 0
  const uint32_t ordered = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return uint64_t{ordered} << 32 | (0xffffffffu - static_cast<uint32_t>(ordinal));
}

__device__ __forceinline__ float WeightOf(uint64_t key) {
  const auto upper = static_cast<uint32_t>(key >> 32);
  return __uint_as_float((upper & 0x80000000u) != 0 ? upper & 0x7fffffffu : ~upper);
}

/// −1 of none.
__device__ __forceinline__ int OrdinalOf(uint64_t key) {
  return static_cast<int>(0xffffffffu - static_cast<uint32_t>(key));
}

struct Selection {
  uint64_t tops[kThreads];
  uint64_t found[kShare];
  uint64_t least;
  int count;
};

/// Calls write(place, key) for the k ≤ kThreads largest of all threads' keys, which differ, the
/// largest first; 0 where there are fewer. At least k keys are not below the k-th largest of the
/// threads' own largest ones, and rarely many more: each of them counts the larger ones. Between
/// two calls with one `shared` is a barrier.
template <class Write>
__device__ void Select(const uint64_t (&keys)[kEach], int k, Selection& shared,
                       const Write& write) {
  uint64_t top = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i) top = keys[i] > top ? keys[i] : top;
  shared.tops[threadIdx.x] = top;
  if (threadIdx.x == 0) {
    shared.least = 1;
    shared.count = 0;
  }
  __syncthreads();
  int larger = 0;
  for (int i = 0; i < kThreads; ++i) larger += shared.tops[i] > top ? 1 : 0;
  if (larger == k - 1 && top != 0) shared.least = top;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    if (keys[i] >= shared.least) shared.found[atomicAdd(&shared.count, 1)] = keys[i];
  }
  __syncthreads();
  const int count = shared.count;
  for (int i = static_cast<int>(threadIdx.x); i < count || i < k; i += kThreads) {
    const uint64_t key = i < count ? shared.found[i] : 0;
    int place = i;
    if (i < count) {
      place = 0;
      for (int j = 0; j < count; ++j) place += shared.found[j] > key ? 1 : 0;
    }
    if (place < k) write(place, key);
  }
}

/// The log-sum-exp of `count` parts, each the largest score of some and the sum of exp(score −
/// that), and of `other`. By a warp; every lane gets it.
__device__ __forceinline__ float JoinParts(const float* parts, int count, float other) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float top = other;
  for (int i = lane; i < count; i += kWarp) top = fmaxf(top, __ldcg(parts + 2 * i));
  top = MaxOverWarp(top);
  if (top == MinusInfinity()) return top;
  float sum = 0.0f;
  for (int i = lane; i < count; i += kWarp) {
    sum += __ldcg(parts + 2 * i + 1) * __expf(__ldcg(parts + 2 * i) - top);
  }
  sum = SumOverLanes(sum, kWarp) + __expf(other - top);
  return top + logf(sum);
}

}  // namespace cairn::cuda
