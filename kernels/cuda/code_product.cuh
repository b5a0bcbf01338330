// Products of codes on tensor cores, 16 vectors by 8 queries over 32 numbers at a time.
//
// A warp does it together; each lane brings and gets its part of the matrices ("fragments" in
// PTX's words, mma.m16n8k32 of .s8). A word has four numbers.
#pragma once

#include "kernels/cuda/device.cuh"

namespace cairn::cuda {

inline constexpr int kProductVectors = 16;
inline constexpr int kProductQueries = 8;

/// Adds to sums. With g = lane / 4 and i = lane % 4, `vectors` are words i and i + 4 of vectors g
/// and g + 8 (word by word, g first), `query` is words i and i + 4 of query g, and `sums` are
/// vector g with queries 2i and 2i + 1, then vector g + 8 with them. Which numbers are in which
/// words is the caller's business, if it is alike for both.
__device__ __forceinline__ void AddProducts(const uint32_t (&vectors)[4],
                                            const uint32_t (&query)[2], int (&sums)[4]) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
      : "r"(vectors[0]), "r"(vectors[1]), "r"(vectors[2]), "r"(vectors[3]), "r"(query[0]),
        "r"(query[1]));
#else
  cuda_on_cpu::MultiplyCodes(sums, vectors, query);
#endif
}

}  // namespace cairn::cuda
