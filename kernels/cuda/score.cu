// Inner products of rows of queries with stored vectors. A vector comes from memory once for each 8
// rows.
#include "kernels/cuda/vector_run.cuh"

namespace cairn::cuda {
namespace {

// Blocks of threads are [runs of vectors, P, eights of rows].
template <Element kElement, int kPieces, int kEach>
__global__ void __launch_bounds__(kThreads) ScoreKernel(const ScoreArgs args) {
  using Run = VectorRun<kElement, kPieces, kEach>;
  float* queries = SharedFloats();  // [8, padded_dim]
  const int first_row = static_cast<int>(blockIdx.z) * kScoredRows;
  const int64_t partition = blockIdx.y;
  for (int i = static_cast<int>(threadIdx.x); i < kScoredRows * args.padded_dim; i += kThreads) {
    const int row = first_row + i / args.padded_dim, column = i % args.padded_dim;
    const bool is = row < args.rows && column < args.dim;
    queries[i] = is ? args.queries[(partition * args.rows + row) * args.dim + column] : 0.0f;
  }
  __syncthreads();
  const int64_t first = static_cast<int64_t>(blockIdx.x) * Run::kVectors;
  const std::byte* stored =
      args.stored +
      (partition * args.partition_stride + first * args.padded_dim) * Run::kNumberBytes;
  Run run;
  run.Load(stored, args.padded_dim, args.vectors - first);
  run.Multiply(queries, args.padded_dim, args.padded_dim, args.vectors - first,
               [&](int lane_row, int vector, float score) {
                 const int row = first_row + lane_row;
                 if (row >= args.rows) return;
                 args.scores[(partition * args.rows + row) * args.score_stride + first + vector] =
                     score;
               });
}

template <Element kElement, int kPieces, int kEach>
const char* LaunchPieces(const ScoreArgs& args, CUstream_st* stream) {
  constexpr int64_t kRun = VectorRun<kElement, kPieces, kEach>::kVectors;
  const dim3 grid{static_cast<unsigned>((args.vectors + kRun - 1) / kRun),
                  static_cast<unsigned>(args.partitions),
                  static_cast<unsigned>((args.rows + kScoredRows - 1) / kScoredRows)};
  const int64_t shared_bytes = int64_t{kScoredRows} * args.padded_dim * 4;
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
