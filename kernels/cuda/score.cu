// Inner products of rows of queries with stored vectors.
//
// A block of threads has 8 rows of a partition, in shared memory, and runs of vectors: each is read
// once, by 8 lanes with loads of 16 bytes, and multiplied with all of the rows. So a vector comes
// from memory once for each 8 rows.
#include "kernels/cuda/elements.cuh"

namespace cairn::cuda {
namespace {

constexpr int kRows = kScoredRows;
constexpr int kLanes = 8;  // of a vector
constexpr int kTeams = kThreads / kLanes;
static_assert(kRows == kLanes, "each lane ends with one row's sum");

// Sums over 8 lanes of 8 rows at once: a lane gives away half of its rows three times, and ends
// with the sum of one, row `lane`.
__device__ __forceinline__ float SumOfOwnRow(float (&sums)[kRows], int lane) {
#pragma unroll
  for (int half = kLanes / 2; half > 0; half /= 2) {
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

// Blocks of threads are [runs of vectors, P, eights of rows]; kPieces loads of a lane make its part
// of a vector, kEach vectors in a row are a lane's.
template <Element kElement, int kPieces, int kEach>
__global__ void __launch_bounds__(kThreads) ScoreKernel(const ScoreArgs args) {
  using Piece = Chunk<kElement, kElement == Element::kF32 ? 4 : 8>;
  constexpr int64_t kBytes = Piece::kBytes / Piece::kNumbers;
  float* queries = SharedFloats();  // [kRows, padded_dim]
  const int first_row = static_cast<int>(blockIdx.z) * kRows;
  const int64_t partition = blockIdx.y;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * args.padded_dim; i += kThreads) {
    const int row = first_row + i / args.padded_dim, column = i % args.padded_dim;
    const bool is = row < args.rows && column < args.dim;
    queries[i] = is ? args.queries[(partition * args.rows + row) * args.dim + column] : 0.0f;
  }
  __syncthreads();

  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int team = static_cast<int>(threadIdx.x) / kLanes;
  const int pieces = args.padded_dim / Piece::kNumbers;
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kTeams + team) * kEach;
  const std::byte* stored = args.stored + partition * args.partition_stride * kBytes;
  typename Piece::Word words[kEach][kPieces];
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const std::byte* vector = stored + (first + i) * args.padded_dim * kBytes;
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const int piece = p * kLanes + lane;
      if (first + i < args.vectors && piece < pieces) words[i][p] = Piece::Load(vector, piece);
    }
  }

  float sums[kEach][kRows] = {};
#pragma unroll
  for (int p = 0; p < kPieces; ++p) {
    const int piece = p * kLanes + lane;
    if (piece >= pieces) break;
    float numbers[kEach][Piece::kNumbers];
#pragma unroll
    for (int i = 0; i < kEach; ++i) Piece::Unpack(words[i][p], numbers[i]);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      float query[Piece::kNumbers];
      CopyFloats<Piece::kNumbers>(queries + row * args.padded_dim + piece * Piece::kNumbers, query);
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
    const int row = first_row + lane;
    if (first + i < args.vectors && row < args.rows) {
      args.scores[(partition * args.rows + row) * args.score_stride + first + i] = sum;
    }
  }
}

template <Element kElement, int kPieces, int kEach>
const char* LaunchPieces(const ScoreArgs& args, CUstream_st* stream) {
  const int64_t run = int64_t{kTeams} * kEach;
  const dim3 grid{static_cast<unsigned>((args.vectors + run - 1) / run),
                  static_cast<unsigned>(args.partitions),
                  static_cast<unsigned>((args.rows + kRows - 1) / kRows)};
  const int64_t shared_bytes = int64_t{kRows} * args.padded_dim * 4;
  return Launch(ScoreKernel<kElement, kPieces, kEach>, grid, shared_bytes, stream, args);
}

}  // namespace

const char* LaunchScore(const ScoreArgs& args, CUstream_st* stream) {
  if (args.element == Element::kF32) {
    if (args.padded_dim <= 64) return LaunchPieces<Element::kF32, 2, 4>(args, stream);
    if (args.padded_dim <= 128) return LaunchPieces<Element::kF32, 4, 2>(args, stream);
    return LaunchPieces<Element::kF32, 8, 1>(args, stream);
  }
  if (args.padded_dim <= 64) return LaunchPieces<Element::kBF16, 1, 4>(args, stream);
  if (args.padded_dim <= 128) return LaunchPieces<Element::kBF16, 2, 4>(args, stream);
  return LaunchPieces<Element::kBF16, 4, 2>(args, stream);
}

}  // namespace cairn::cuda
