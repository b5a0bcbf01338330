// Parts of a decode, merged: one block of threads for each row and query head.
#include "kernels/cuda/block_softmax.cuh"

namespace cairn::cuda {
namespace {

__global__ void __launch_bounds__(kThreads) MergeKernel(const AttendArgs args, const Parts parts) {
  const int dim = args.layout.head_dim;
  const int64_t heads = gridDim.x;
  const int64_t row = blockIdx.y;
  const int64_t query = row * heads + blockIdx.x;
  const int64_t apart = args.rows * heads;  // between parts
  float top = MinusInfinity();
  for (int s = 0; s < parts.splits; ++s) top = fmaxf(top, parts.lse[s * apart + query]);
  float sum = 0.0f;
  for (int s = 0; s < parts.splits; ++s) {
    const float lse = parts.lse[s * apart + query];
    sum += lse == MinusInfinity() ? 0.0f : __expf(lse - top);
  }
  const float inverse = Inverse(sum);
  float* o = args.o + row * args.o_row_stride + static_cast<int64_t>(blockIdx.x) * dim;
  for (int c = static_cast<int>(threadIdx.x); c < dim; c += kThreads) {
    float total = 0.0f;
    for (int s = 0; s < parts.splits; ++s) {
      const float lse = parts.lse[s * apart + query];
      if (lse == MinusInfinity()) continue;
      total += __expf(lse - top) * parts.o[(s * apart + query) * dim + c];
    }
    o[c] = total * inverse;
  }
  if (threadIdx.x == 0) args.lse[query] = LogSumExp(top, sum);
}

}  // namespace

const char* LaunchMerge(const AttendArgs& args, const Parts& parts, CUstream_st* stream) {
  const dim3 grid{static_cast<unsigned>(args.heads * args.group), static_cast<unsigned>(args.rows),
                  1};
  return Launch(MergeKernel, grid, 0, stream, args, parts);
}

}  // namespace cairn::cuda
