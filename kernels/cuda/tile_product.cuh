// Products of tiles in shared memory, added up in registers: queries · keysᵀ and weights · values.
// Plain multiply-adds, for numbers that tensor cores do not take.
//
// A thread has 4 rows, 4·(thread / 16) + i, and the columns thread % 16 + 16·j.
#pragma once

#include "kernels/cuda/prefill_tile.cuh"

namespace cairn::cuda {

inline constexpr int kTileKeys = 32;  // keys or values of a tile
inline constexpr int kOwnRows = 4;
inline constexpr int kColumnThreads = 16;
static_assert(kTileRows / kOwnRows * kColumnThreads == kThreads);

__device__ __forceinline__ int FirstOwnRow() {
  return static_cast<int>(threadIdx.x) / kColumnThreads * kOwnRows;
}
__device__ __forceinline__ int FirstOwnColumn() {
  return static_cast<int>(threadIdx.x) % kColumnThreads;
}

/// sums[i][j] = a[own row i] · b[own column j], both of `dim` numbers and `stride` apart.
template <int kColumns>
__device__ __forceinline__ void RowProducts(const float* a, const float* b, int dim, int stride,
                                            float (*sums)[kColumns]) {
  a += FirstOwnRow() * stride;
  b += FirstOwnColumn() * stride;
#pragma unroll
  for (int i = 0; i < kOwnRows; ++i) {
#pragma unroll
    for (int j = 0; j < kColumns; ++j) sums[i][j] = 0.0f;
  }
#pragma unroll 4
  for (int c = 0; c < dim; ++c) {
    float x[kOwnRows];
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) x[i] = a[i * stride + c];
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      const float y = b[j * kColumnThreads * stride + c];
#pragma unroll
      for (int i = 0; i < kOwnRows; ++i) sums[i][j] += x[i] * y;
    }
  }
}

/// sums[i][j] += Σ over `rows` of a[own row i][row] · b[row][own column j], below `dim` columns.
template <int kColumns>
__device__ __forceinline__ void AddColumnProducts(const float* a, int a_stride, const float* b,
                                                  int b_stride, int rows, int dim,
                                                  float (*sums)[kColumns]) {
  a += FirstOwnRow() * a_stride;
  for (int row = 0; row < rows; ++row) {
    float x[kOwnRows];
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) x[i] = a[i * a_stride + row];
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      const int column = FirstOwnColumn() + j * kColumnThreads;
      if (column >= dim) continue;
      const float y = b[row * b_stride + column];
#pragma unroll
      for (int i = 0; i < kOwnRows; ++i) sums[i][j] += x[i] * y;
    }
  }
}

}  // namespace cairn::cuda
