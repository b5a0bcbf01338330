// A run of stored vectors multiplied by 8 rows of queries in shared memory, by a block of threads:
// each vector is read once, by 8 lanes with loads of 16 bytes, and multiplied with all of the rows.
#pragma once

#include "kernels/cuda/elements.cuh"

namespace cairn::cuda {

inline constexpr int kVectorLanes = 8;  // of a vector
static_assert(kScoredRows == kVectorLanes, "each lane ends with one row's sum");

// Sums over 8 lanes of 8 rows at once: a lane gives away half of its rows three times, and ends
// with the sum of one, row `lane`.
__device__ __forceinline__ float SumOfOwnRow(float (&sums)[kScoredRows], int lane) {
#pragma unroll
  for (int half = kVectorLanes / 2; half > 0; half /= 2) {
    const bool upper = (lane & half) != 0;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const float given = upper ? sums[i] : sums[i + half];
      const float kept = upper ? sums[i + half] : sums[i];
      sums[i] = kept + __shfl_xor_sync(kAllLanes, given, half);
    }
  }
  return sums[0];
}

/// kPieces loads of a lane make its part of a vector, kEach vectors in a row are a lane's.
template <Element kElement, int kPieces, int kEach>
struct VectorRun {
  using Piece = Chunk<kElement, kElement == Element::kF32 ? 4 : 8>;
  static constexpr int64_t kNumberBytes = ElementBytes(kElement);
  static constexpr int kVectors = kThreads / kVectorLanes * kEach;
  static constexpr int kMostDim = kPieces * kVectorLanes * Piece::kNumbers;
  typename Piece::Word words[kEach][kPieces];

  /// Asks for the vectors of padded_dim numbers from `stored` on, of which there are `vectors`.
  __device__ __forceinline__ void Load(const std::byte* stored, int padded_dim, int64_t vectors) {
    const int lane = static_cast<int>(threadIdx.x) % kVectorLanes;
    const int64_t row_bytes = padded_dim * kNumberBytes;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
#pragma unroll
      for (int p = 0; p < kPieces; ++p) {
        const int piece = p * kVectorLanes + lane;
        if (First() + i < vectors && piece < padded_dim / Piece::kNumbers) {
          // __ldg would be put behind a wait for the launch before this one.
          const std::byte* vector = stored + (First() + i) * row_bytes;
          words[i][p] = reinterpret_cast<const typename Piece::Word*>(vector)[piece];
        }
      }
    }
  }

  /// Calls put(row, vector, score) for all 8 rows and what of the vectors there is. Rows of queries
  /// are query_stride floats apart, a multiple of 4.
  template <class Put>
  __device__ __forceinline__ void Multiply(const float* queries, int query_stride, int padded_dim,
                                           int64_t vectors, const Put& put) const {
    const int lane = static_cast<int>(threadIdx.x) % kVectorLanes;
    float sums[kEach][kScoredRows] = {};
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const int piece = p * kVectorLanes + lane;
      if (piece >= padded_dim / Piece::kNumbers) break;
      float numbers[kEach][Piece::kNumbers];
#pragma unroll
      for (int i = 0; i < kEach; ++i) Piece::Unpack(words[i][p], numbers[i]);
#pragma unroll
      for (int row = 0; row < kScoredRows; ++row) {
        float query[Piece::kNumbers];
        CopyFloats<Piece::kNumbers>(queries + row * query_stride + piece * Piece::kNumbers, query);
#pragma unroll
        for (int i = 0; i < kEach; ++i) {
#pragma unroll
          for (int d = 0; d < Piece::kNumbers; ++d) sums[i][row] += query[d] * numbers[i][d];
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const float sum = SumOfOwnRow(sums[i], lane);
      if (First() + i < vectors) put(lane, First() + i, sum);
    }
  }

 private:
  /// The first vector of this lane.
  __device__ static int First() { return static_cast<int>(threadIdx.x) / kVectorLanes * kEach; }
};

}  // namespace cairn::cuda
