// Inner products of rows of queries with chunks of codes.
#include "kernels/cuda/code_run.cuh"

namespace cairn::cuda {
namespace {

// Blocks of threads are [chunks or halves of them, P, eights of rows].
template <int kRounds, int kTiles>
__global__ void __launch_bounds__(kThreads) ScoreCodesKernel(const ScoreCodesArgs args) {
  using Run = CodeRun<kRounds, kTiles>;
  auto& queries = *reinterpret_cast<CodeQueries<kRounds>*>(SharedFloats());
  const int parts = (args.chunk_vectors + Run::kVectors - 1) / Run::kVectors;
  const int chunk = static_cast<int>(blockIdx.x) / parts;
  const int64_t partition = blockIdx.y;
  const int first_row = static_cast<int>(blockIdx.z) * kScoredRows;

  // Where the run begins in its chunk, and what is scored of it.
  const int start = static_cast<int>(blockIdx.x) % parts * Run::kVectors;
  const int64_t before = int64_t{chunk} * args.chunk_vectors - args.first + start;
  const int begin = before < 0 ? static_cast<int>(-before) : 0;
  const int64_t left = args.vectors - before;
  const int chunk_left = args.chunk_vectors - start;
  const int end = left < chunk_left ? static_cast<int>(left) : chunk_left;
  Run run;
  run.Load(args.codes + partition * args.code_stride +
               (int64_t{chunk} * args.chunk_vectors + start) * args.coded_dim,
           args.coded_dim, begin, end);
  const int64_t first_query = partition * args.rows + first_row;
  MakeReady<kRounds>(
      args, args.scales + partition * args.scale_stride + int64_t{chunk} * 2 * args.coded_dim,
      args.queries + first_query * args.dim, args.dim, args.rows - first_row, queries);
  run.Multiply(queries, begin, end, [&](int row, int vector, float score) {
    if (first_row + row >= args.rows) return;
    args.scores[(first_query + row) * args.score_stride + before + vector] = score;
  });
}

template <int kRounds, int kTiles>
const char* LaunchRounds(const ScoreCodesArgs& args, CUstream_st* stream) {
  constexpr int kRun = CodeRun<kRounds, kTiles>::kVectors;
  const int parts = (args.chunk_vectors + kRun - 1) / kRun;
  const dim3 grid{static_cast<unsigned>(args.chunks * parts),
                  static_cast<unsigned>(args.partitions),
                  static_cast<unsigned>((args.rows + kScoredRows - 1) / kScoredRows)};
  return Launch(ScoreCodesKernel<kRounds, kTiles>, grid, int64_t{sizeof(CodeQueries<kRounds>)},
                stream, args);
}

}  // namespace

const char* LaunchScoreCodes(const ScoreCodesArgs& args, CUstream_st* stream) {
  if (args.coded_dim <= 64) return LaunchRounds<1, 4>(args, stream);
  if (args.coded_dim <= 128) return LaunchRounds<2, 4>(args, stream);
  return LaunchRounds<4, 2>(args, stream);
}

}  // namespace cairn::cuda
