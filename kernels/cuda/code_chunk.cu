// Chunks of vectors to codes of one byte, with a centre and a step for each of their numbers.
#include "kernels/cuda/elements.cuh"

namespace cairn::cuda {
namespace {

constexpr float kLargestCode = 127.0f;
constexpr int kColumns = 32;  // of a block of threads
constexpr int kTurns = kThreads / kColumns;

// Number `column` of a vector of the chunk: what its codes say if it is kept.
struct ColumnReader {
  __device__ ColumnReader(const CodeArgs& chunk, int64_t partition, int of)
      : args(chunk),
        column(of),
        codes(chunk.codes + partition * chunk.code_stride),
        scales(chunk.scales + partition * chunk.scale_stride),
        plain(chunk.plain + partition * chunk.plain_stride) {
    const bool reads = chunk.kept > 0 && column < chunk.coded_dim;
    centre = reads ? scales[column] : 0.0f;
    step = reads ? scales[chunk.coded_dim + column] : 0.0f;
  }

  __device__ float At(int vector) const {
    if (vector < args.kept) {
      const auto code = static_cast<float>(codes[vector * args.coded_dim + column]);
      return __fadd_rn(centre, __fmul_rn(code, step));
    }
    return ReadNumber(args.element, plain + vector * args.row_bytes, column);
  }

  const CodeArgs& args;
  const int column;
  int8_t* const codes;
  float* const scales;
  const std::byte* const plain;
  float centre, step;
};

/// The nearest whole number to x, which is in [−127, 127]: floats of the size of 1.5 · 2^23 are
/// whole.
__device__ int8_t Rounded(float x) {
  return static_cast<int8_t>(__float_as_uint(__fadd_rn(x, 12582912.0f)) & 0xffu);
}

// Blocks of threads are [runs of columns, P]. A thread has one column of every so many vectors, and
// writes codes where it alone reads those that were kept.
__global__ void __launch_bounds__(kThreads) CodeKernel(const CodeArgs args) {
  __shared__ float leasts[kTurns][kColumns];
  __shared__ float mosts[kTurns][kColumns];
  const int own = static_cast<int>(threadIdx.x) % kColumns;
  const int turn = static_cast<int>(threadIdx.x) / kColumns;
  const int column = static_cast<int>(blockIdx.x) * kColumns + own;
  const ColumnReader from(args, blockIdx.y, column);
  float least = -MinusInfinity(), most = MinusInfinity();
  if (column < args.dim) {
    for (int v = turn; v < args.vectors; v += kTurns) {
      const float number = from.At(v);
      least = fminf(least, number);
      most = fmaxf(most, number);
    }
  }
  leasts[turn][own] = least;
  mosts[turn][own] = most;
  __syncthreads();
  for (int i = 0; i < kTurns; ++i) {
    least = fminf(least, leasts[i][own]);
    most = fmaxf(most, mosts[i][own]);
  }
  if (column >= args.coded_dim) return;
  float centre = 0.0f, step = 0.0f;
  if (column < args.dim) {
    centre = least == most ? least : __fadd_rn(__fmul_rn(0.5f, least), __fmul_rn(0.5f, most));
    const float half = __fsub_rn(__fmul_rn(0.5f, most), __fmul_rn(0.5f, least));
    step = __fdiv_rn(half, kLargestCode);
  }
  for (int v = turn; v < args.vectors; v += kTurns) {
    float steps = 0.0f;
    if (step > 0.0f) {
      steps = __fdiv_rn(__fsub_rn(from.At(v), centre), step);
      steps = fminf(fmaxf(steps, -kLargestCode), kLargestCode);
    }
    from.codes[v * args.coded_dim + column] = Rounded(steps);
  }
  if (turn == 0) {
    from.scales[column] = centre;
    from.scales[args.coded_dim + column] = step;
  }
}

}  // namespace

const char* LaunchCodeChunk(const CodeArgs& args, CUstream_st* stream) {
  const int runs = (args.coded_dim + kColumns - 1) / kColumns;
  const dim3 grid{static_cast<unsigned>(runs), static_cast<unsigned>(args.partitions), 1};
  return Launch(CodeKernel, grid, 0, stream, args);
}

}  // namespace cairn::cuda
