// Products of small matrices of 16-bit numbers by a warp, summed in f32 (mma.sync of compute
// capability 8.0), and how what they take comes out of shared memory. All lanes of the warp call
// these together.
//
// With g = lane / 4 and c = 2 · (lane % 4), a lane holds pairs of numbers of rows and columns
//   a    [16, 16]  (g, c) (g + 8, c) (g, c + 8) (g + 8, c + 8)
//   b    [16, 8]   column g, rows c and c + 1; rows c + 8 and c + 9
//   sums [16, 8]   (g, c) (g, c + 1) (g + 8, c) (g + 8, c + 1)
// the first number of a pair in its lower half.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

namespace cairn::cuda {

inline constexpr int kMatrix = 16;  // rows and columns of a

__host__ __device__ constexpr int UpToMatrix(int count) {
  return (count + kMatrix - 1) / kMatrix * kMatrix;
}

__device__ __forceinline__ int LaneRow() { return static_cast<int>(threadIdx.x) % kWarp / 4; }
__device__ __forceinline__ int LaneColumn() { return static_cast<int>(threadIdx.x) % 4 * 2; }

/// sums += a · b, of numbers of f16 or bf16.
template <Element kElement>
__device__ __forceinline__ void MultiplyAdd(float* sums, const uint32_t* a, const uint32_t* b) {
  static_assert(kElement == Element::kF16 || kElement == Element::kBF16);
#ifdef __CUDACC__
  if constexpr (kElement == Element::kF16) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
#else
  if constexpr (kElement == Element::kF16) {
    cuda_on_cpu::MultiplyHalves(sums, a, b);
  } else {
    cuda_on_cpu::MultiplyBf16(sums, a, b);
  }
#endif
}

/// Four matrices of 8 rows of 8 numbers: matrix m's row i begins at the `row` of lane 8m + i, in
/// shared memory, aligned to 16 bytes. parts[m] becomes the pair (g, c) (g, c + 1) of it; of its
/// transposed, with kTransposed.
template <bool kTransposed>
__device__ __forceinline__ void LoadMatrices(const uint16_t* row, uint32_t* parts) {
#ifdef __CUDACC__
  const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(parts[0]), "=r"(parts[1]), "=r"(parts[2]), "=r"(parts[3])
                 : "r"(at));
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(parts[0]), "=r"(parts[1]), "=r"(parts[2]), "=r"(parts[3])
                 : "r"(at));
  }
#else
  cuda_on_cpu::LoadMatrices(kTransposed, row, parts);
#endif
}

/// The [16, 16] numbers at `tile`, rows `stride` apart, as an `a`.
__device__ __forceinline__ void LoadRows(const uint16_t* tile, int stride, uint32_t* a) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  LoadMatrices<false>(tile + lane % 16 * stride + lane / 16 * 8, a);
}

/// The same as two `b` side by side, each of 8 of its columns: b[0, 2) and b[2, 4).
__device__ __forceinline__ void LoadColumns(const uint16_t* tile, int stride, uint32_t* b) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  LoadMatrices<true>(tile + lane % 16 * stride + lane / 16 * 8, b);
}

/// As LoadColumns, of the transposed: each b of 8 of the tile's rows.
__device__ __forceinline__ void LoadRowsAsColumns(const uint16_t* tile, int stride, uint32_t* b) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  LoadMatrices<false>(tile + (lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8, b);
}

/// x rounded to f16 or bf16; what that took off stays in it.
template <Element kElement>
__device__ __forceinline__ uint16_t TakeTerm(float* x) {
  const uint16_t bits = kElement == Element::kF16 ? FloatToHalf(*x) : FloatToBf16(*x);
  *x -= kElement == Element::kF16 ? HalfToFloat(bits) : Bf16ToFloat(bits);
  return bits;
}

/// The same for a pair of numbers.
template <Element kElement>
__device__ __forceinline__ uint32_t TakeTerms(float* pair) {
#ifdef __CUDACC__
  uint32_t bits;
  if constexpr (kElement == Element::kF16) {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(pair[1]), "f"(pair[0]));
    pair[0] -= HalfToFloat(static_cast<uint16_t>(bits));
    pair[1] -= HalfToFloat(static_cast<uint16_t>(bits >> 16));
  } else {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(pair[1]), "f"(pair[0]));
    pair[0] -= __uint_as_float(bits << 16);
    pair[1] -= __uint_as_float(bits & 0xffff0000u);
  }
  return bits;
#else
  const uint32_t lower = TakeTerm<kElement>(pair);
  return lower | static_cast<uint32_t>(TakeTerm<kElement>(pair + 1)) << 16;
#endif
}

/// Two numbers of f16 less 1152.
__device__ __forceinline__ uint32_t Less1152(uint32_t pair) {
#ifdef __CUDACC__
  uint32_t less;
  asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(less) : "r"(pair), "r"(0x64806480u));
  return less;
#else
  const auto lower = FloatToHalf(HalfToFloat(static_cast<uint16_t>(pair)) - 1152.0f);
  const auto upper = FloatToHalf(HalfToFloat(static_cast<uint16_t>(pair >> 16)) - 1152.0f);
  return lower | static_cast<uint32_t>(upper) << 16;
#endif
}

/// Four codes as two pairs of f16: with its sign turned a code is the lower byte of the f16 number
/// 1152 + code, the upper one being 0x64.
__device__ __forceinline__ void CodesToHalves(uint32_t codes, uint32_t* first, uint32_t* second) {
  const uint32_t bytes = codes ^ 0x80808080u;
  *first = Less1152(__byte_perm(bytes, 0x64646464u, 0x4140));
  *second = Less1152(__byte_perm(bytes, 0x64646464u, 0x4342));
}

}  // namespace cairn::cuda
