// A run of codes multiplied by rows of queries: a chunk of vectors, or half of one, and up to 8
// rows by a block of threads.
//
// All codes of the run are asked for at once, and while they come the queries are made ready:
// multiplied by the chunk's steps, and split into two rows of 8 bits, together 15. Products are
// those of tensor cores: with multiply-adds, or sums of four products, arithmetic for 8 rows would
// take longer than memory needs for the codes.
#pragma once

#include "kernels/cuda/code_product.cuh"
#include "kernels/cuda/elements.cuh"

namespace cairn::cuda {

inline constexpr int kQueryLanes = 8;   // that make a query ready
inline constexpr int kRoundWords = 16;  // of a vector, that 4 lanes load at once
static_assert(kScoredRows == kProductQueries && 2 * kScoredRows * kQueryLanes == kThreads);

/// Queries for a chunk, which a block of threads shares.
template <int kRounds>
struct CodeQueries {
  float units[kScoredRows];
  float offsets[kScoredRows];
  uint32_t words[2][kScoredRows][kRounds * kRoundWords];  // upper and lower bits
};

__device__ __forceinline__ float MaxOverQueryLanes(float value) {
  for (int apart = kQueryLanes / 2; apart > 0; apart /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, apart));
  }
  return value;
}

// The nearest whole number to x, which is below 2^22.
__device__ __forceinline__ int Rounded(float x) {
  return static_cast<int>(__float_as_uint(__fadd_rn(x, 12582912.0f)) - 0x4b400000u);
}

// Lanes take words of four numbers in turn.
template <int kRounds>
__device__ __forceinline__ void SplitQuery(const ScoreCodesArgs& args, const float* query,
                                           const float* step, int row, CodeQueries<kRounds>& to) {
  constexpr int kWords = kRounds * kRoundWords / kQueryLanes;
  const int lane = static_cast<int>(threadIdx.x) % kQueryLanes;
  float scaled[kWords][4];
  float largest = 0.0f;
#pragma unroll
  for (int w = 0; w < kWords; ++w) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = 4 * (lane + w * kQueryLanes) + i;
      const bool is = query != nullptr && column < args.dim;
      scaled[w][i] = is ? __fmul_rn(query[column], step[column]) : 0.0f;
      largest = fmaxf(largest, fabsf(scaled[w][i]));
    }
  }
  largest = MaxOverQueryLanes(largest);
  const bool any = largest > args.no_query;
  const float inverse = any ? __fdiv_rn(args.units, largest) : 0.0f;
#pragma unroll
  for (int w = 0; w < kWords; ++w) {
    uint32_t upper = 0, lower = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int number = Rounded(__fmul_rn(scaled[w][i], inverse));
      upper |= (static_cast<uint32_t>(number >> 7) & 0xffu) << 8 * i;
      lower |= (static_cast<uint32_t>(number) & 0x7fu) << 8 * i;
    }
    to.words[0][row][lane + w * kQueryLanes] = upper;
    to.words[1][row][lane + w * kQueryLanes] = lower;
  }
  if (lane == 0) to.units[row] = any ? __fdiv_rn(largest, args.units) : 0.0f;
}

// q·centre, added in the order in which ScoreVectors adds for vectors of this type, so that where
// all vectors of a chunk are equal they weigh as much as equal ones that are no codes yet.
__device__ __forceinline__ float ProductWithCentre(const ScoreCodesArgs& args, const float* query,
                                                   const float* centre) {
  const int numbers = args.element == Element::kF32 ? 4 : 8;  // that a lane has side by side
  const int lane = static_cast<int>(threadIdx.x) % kQueryLanes;
  float sum = 0.0f;
  for (int first = lane * numbers; first < args.dim && query != nullptr;
       first += kQueryLanes * numbers) {
    const int end = first + numbers < args.dim ? first + numbers : args.dim;
    for (int column = first; column < end; ++column) sum += query[column] * centre[column];
  }
  return SumOverLanes(sum, kQueryLanes);
}

/// Makes `rows` queries ready, which lie query_stride floats apart, for a chunk whose centres are
/// at `scales`: by all threads, of which half split queries and the others multiply them with
/// centres. Ends with a barrier.
template <int kRounds>
__device__ __forceinline__ void MakeReady(const ScoreCodesArgs& args, const float* scales,
                                          const float* queries, int query_stride, int rows,
                                          CodeQueries<kRounds>& to) {
  const int row = static_cast<int>(threadIdx.x) / kQueryLanes % kScoredRows;
  const float* query = row < rows ? queries + row * query_stride : nullptr;
  if (threadIdx.x < kThreads / 2) {
    SplitQuery<kRounds>(args, query, scales + args.coded_dim, row, to);
  } else {
    const float offset = ProductWithCentre(args, query, scales);
    if (threadIdx.x % kQueryLanes == 0) to.offsets[row] = offset;
  }
  __syncthreads();
}

/// A run: a warp has kTiles times 16 of its vectors, of which 4 lanes load 64 bytes in kRounds
/// rounds.
template <int kRounds, int kTiles>
struct CodeRun {
  static constexpr int kVectors = kWarps * kTiles * kProductVectors;
  uint4 words[kTiles][2][kRounds];

  /// Asks for vectors [begin, end) of the run that begins at `codes`.
  __device__ __forceinline__ void Load(const int8_t* codes, int coded_dim, int begin, int end) {
    const int quarter = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
    for (int i = 0; i < 2 * kTiles; ++i) {
      const int vector = First() + i * kProductVectors / 2;
      const bool is = vector >= begin && vector < end;
#pragma unroll
      for (int round = 0; round < kRounds; ++round) {
        const int at = round * kRoundWords * 4 + quarter * 16;
        words[i / 2][i % 2][round] =
            is && at < coded_dim ? *reinterpret_cast<const uint4*>(codes + vector * coded_dim + at)
                                 : uint4{0, 0, 0, 0};
      }
    }
  }

  /// Calls put(row, vector, score) for all 8 rows and vectors [begin, end).
  template <class Put>
  __device__ __forceinline__ void Multiply(const CodeQueries<kRounds>& queries, int begin, int end,
                                           const Put& put) const {
    const int group = static_cast<int>(threadIdx.x) % kWarp / 4;
    const int quarter = static_cast<int>(threadIdx.x) % 4;
    uint4 high[kRounds], low[kRounds];
#pragma unroll
    for (int round = 0; round < kRounds; ++round) {
      const int at = round * kRoundWords + quarter * 4;
      high[round] = *reinterpret_cast<const uint4*>(queries.words[0][group] + at);
      low[round] = *reinterpret_cast<const uint4*>(queries.words[1][group] + at);
    }
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      __syncwarp();  // lanes leave out unlike scores, and multiply together
      int upper[4] = {}, lower[4] = {};
#pragma unroll
      for (int round = 0; round < kRounds; ++round) {
        const uint4 a = words[tile][0][round], b = words[tile][1][round];
        AddProducts({a.x, b.x, a.y, b.y}, {high[round].x, high[round].y}, upper);
        AddProducts({a.z, b.z, a.w, b.w}, {high[round].z, high[round].w}, upper);
        AddProducts({a.x, b.x, a.y, b.y}, {low[round].x, low[round].y}, lower);
        AddProducts({a.z, b.z, a.w, b.w}, {low[round].z, low[round].w}, lower);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int vector = First() + tile * kProductVectors + (i / 2) * kProductVectors / 2;
        const int row = 2 * quarter + i % 2;
        if (vector < begin || vector >= end) continue;
        const auto sum = static_cast<float>(128 * upper[i] + lower[i]);
        put(row, vector, queries.offsets[row] + queries.units[row] * sum);
      }
    }
  }

 private:
  /// The first vector of this lane.
  __device__ static int First() {
    return OwnWarp() * kTiles * kProductVectors + static_cast<int>(threadIdx.x) % kWarp / 4;
  }
};

}  // namespace cairn::cuda
