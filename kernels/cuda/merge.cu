// Parts of attention, merged: a warp for each row and query head.
#include "kernels/cuda/merge.cuh"

namespace cairn::cuda {
namespace {

// Blocks of threads are [fours of query heads, T].
__global__ void __launch_bounds__(kThreads) MergeKernel(const AttendArgs args, const Parts parts) {
  const int head = static_cast<int>(blockIdx.x * kWarps + threadIdx.x / kWarp);
  if (head < args.heads * args.group) MergeQuery(args, parts, blockIdx.y, head);
}

}  // namespace

const char* LaunchMerge(const AttendArgs& args, const Parts& parts, CUstream_st* stream) {
  const int heads = args.heads * args.group;
  const dim3 grid{static_cast<unsigned>((heads + kWarps - 1) / kWarps),
                  static_cast<unsigned>(args.rows), 1};
  return Launch(MergeKernel, grid, 0, stream, args, parts);
}

}  // namespace cairn::cuda
