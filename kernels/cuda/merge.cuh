// Parts of attention over the same queries, merged.
#pragma once

#include "kernels/cuda/block_softmax.cuh"

namespace cairn::cuda {

// The log-sum-exp of part p of a query, counted through all rows; `apart` queries are a part. What
// others wrote in the same launch is not read from a cache of this multiprocessor's.
__device__ __forceinline__ float PartLse(const Parts& parts, int p, int64_t apart, int64_t query) {
  return __ldcg(p < parts.splits ? parts.lse + p * apart + query : parts.other_lse + query);
}

__device__ __forceinline__ const float* PartO(const Parts& parts, int p, int64_t apart,
                                              int64_t query, int dim) {
  return p < parts.splits ? parts.o + (p * apart + query) * dim : parts.other_o + query * dim;
}

// Columns [first, first + kNumbers) of a query's parts, weighted, to `to`. By a warp, of whose
// lanes some may have no columns (first ≥ dim); part p + i has the weight of lane i.
template <int kNumbers>
struct ColumnSums {
  float sums[kNumbers] = {};

  __device__ __forceinline__ void Add(const Parts& parts, int p, int count, float weight,
                                      int64_t apart, int64_t query, int dim, int first) {
#pragma unroll 8
    for (int i = 0; i < count; ++i) {
      const float own = __shfl_sync(kAllLanes, weight, i);
      if (first >= dim || own == 0.0f) continue;
      const float* o = PartO(parts, p + i, apart, query, dim) + first;
      if constexpr (kNumbers == 4) {
        const uint4 word = __ldcg(reinterpret_cast<const uint4*>(o));
        sums[0] += own * __uint_as_float(word.x);
        sums[1] += own * __uint_as_float(word.y);
        sums[2] += own * __uint_as_float(word.z);
        sums[3] += own * __uint_as_float(word.w);
      } else {
        sums[0] += own * __ldcg(o);
      }
    }
  }
};

template <int kNumbers>
__device__ __forceinline__ void MergeColumns(const Parts& parts, int count, float top,
                                             float inverse, int64_t apart, int64_t query, int dim,
                                             float* o) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int base = 0; base < dim; base += kWarp * kNumbers) {
    const int first = base + lane * kNumbers;
    ColumnSums<kNumbers> columns;
    for (int p = 0; p < count; p += kWarp) {
      const float lse = p + lane < count ? PartLse(parts, p + lane, apart, query) : MinusInfinity();
      const float weight = lse == MinusInfinity() ? 0.0f : __expf(lse - top);
      columns.Add(parts, p, count - p < kWarp ? count - p : kWarp, weight, apart, query, dim,
                  first);
    }
    if (first >= dim) continue;
#pragma unroll
    for (int i = 0; i < kNumbers; ++i) o[first + i] = columns.sums[i] * inverse;
  }
}

/// Merges the parts of query head `head` of `row`, and what else there is of it. By a warp.
__device__ inline void MergeQuery(const AttendArgs& args, const Parts& parts, int64_t row,
                                  int64_t head) {
  const int dim = args.layout.head_dim;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t heads = int64_t{args.heads} * args.group;
  const int64_t query = row * heads + head;
  const int64_t apart = args.rows * heads;
  const int count = parts.splits + (parts.other_lse != nullptr ? 1 : 0);
  float top = MinusInfinity();
  for (int p = lane; p < count; p += kWarp) top = fmaxf(top, PartLse(parts, p, apart, query));
  top = MaxOverWarp(top);
  float sum = 0.0f;
  for (int p = lane; p < count && top != MinusInfinity(); p += kWarp) {
    sum += __expf(PartLse(parts, p, apart, query) - top);
  }
  sum = SumOverLanes(sum, kWarp);
  float* o = args.o + row * args.o_row_stride + head * dim;
  if (dim % 4 == 0) {
    MergeColumns<4>(parts, count, top, Inverse(sum), apart, query, dim, o);
  } else {
    MergeColumns<1>(parts, count, top, Inverse(sum), apart, query, dim, o);
  }
  if (lane == 0) args.lse[query] = LogSumExp(top, sum);
}

}  // namespace cairn::cuda
