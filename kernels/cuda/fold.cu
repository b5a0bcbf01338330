// Scores of representatives to each row's log-sum-exp, and to the blocks that a group chooses.
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

namespace cairn::cuda {
namespace {

__device__ float BlockScore(const FoldArgs& args, int64_t row, int block) {
  const float* scores = args.scores + (row * args.blocks + block) * args.representatives;
  float largest = scores[0];
  for (int i = 1; i < args.representatives; ++i) largest = fmaxf(largest, scores[i]);
  return largest;
}

// Blocks of threads are [rows, P]; a thread has every so many blocks.
__global__ void __launch_bounds__(kThreads) RowKernel(const FoldArgs args) {
  __shared__ float tops[kWarps];
  __shared__ float sums[kWarps];
  const int64_t row = static_cast<int64_t>(blockIdx.y) * args.rows + blockIdx.x;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const float other = args.other_lse == nullptr ? MinusInfinity() : args.other_lse[row];
  float top = other;
  for (int b = static_cast<int>(threadIdx.x); b < args.blocks; b += kThreads) {
    top = fmaxf(top, BlockScore(args, row, b));
  }
  top = MaxOverWarp(top);
  if (threadIdx.x % kWarp == 0) tops[warp] = top;
  __syncthreads();
  for (int i = 0; i < kWarps; ++i) top = fmaxf(top, tops[i]);
  float sum = 0.0f;
  if (top != MinusInfinity()) {
    for (int b = static_cast<int>(threadIdx.x); b < args.blocks; b += kThreads) {
      sum += __expf(BlockScore(args, row, b) - top);
    }
  }
  sum = SumOverLanes(sum, kWarp);
  if (threadIdx.x % kWarp == 0) sums[warp] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  float total = top == MinusInfinity() ? 0.0f : __expf(other - top);
  for (int i = 0; i < kWarps; ++i) total += sums[i];
  args.lse[row] = total > 0.0f ? top + logf(total) : MinusInfinity();
}

struct Candidate {
  float weight;
  int block;  // −1: none
};

__device__ __forceinline__ bool IsHeavier(const Candidate& a, const Candidate& b) {
  if (a.block < 0 || b.block < 0) return a.block >= 0;
  return a.weight > b.weight || (a.weight == b.weight && a.block < b.block);
}

__device__ Candidate HeavierInWarp(Candidate best) {
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    Candidate other;
    other.weight = __shfl_xor_sync(kAllLanes, best.weight, apart);
    other.block = __shfl_xor_sync(kAllLanes, best.block, apart);
    if (IsHeavier(other, best)) best = other;
  }
  return best;
}

// The heaviest of this thread's blocks that come behind `last`, which was chosen.
__device__ Candidate NextOfThread(const FoldArgs& args, const float* weights,
                                  const Candidate& last) {
  Candidate best = {0.0f, -1};
  for (int b = static_cast<int>(threadIdx.x); b < args.blocks; b += kThreads) {
    const Candidate here = {weights[b], b};
    if ((last.block < 0 || IsHeavier(last, here)) && IsHeavier(here, best)) best = here;
  }
  return best;
}

// Blocks of threads are [groups, P]. A thread that offered what was chosen looks for its next.
__global__ void __launch_bounds__(kThreads) ChooseKernel(const FoldArgs args) {
  __shared__ Candidate offers[kWarps];
  const int64_t group = static_cast<int64_t>(blockIdx.y) * gridDim.x + blockIdx.x;
  const int first = static_cast<int>(blockIdx.x) * args.rows_per_group;
  const int left = args.rows - first;
  const int rows = left < args.rows_per_group ? left : args.rows_per_group;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * args.rows + first;
  float* weights = args.weights + group * args.blocks;
  for (int b = static_cast<int>(threadIdx.x); b < args.blocks; b += kThreads) {
    float largest = MinusInfinity();
    for (int64_t row = first_row; row < first_row + rows; ++row) {
      const float score = BlockScore(args, row, b);
      if (score != MinusInfinity()) largest = fmaxf(largest, score - args.lse[row]);
    }
    weights[b] = largest;  // read by the same thread alone
  }
  Candidate last = {0.0f, -1};
  Candidate mine = NextOfThread(args, weights, last);
  for (int i = 0; i < args.k; ++i) {
    const Candidate best = HeavierInWarp(mine);
    if (threadIdx.x % kWarp == 0) offers[threadIdx.x / kWarp] = best;
    __syncthreads();
    last = offers[0];
    for (int w = 1; w < kWarps; ++w) {
      if (IsHeavier(offers[w], last)) last = offers[w];
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      args.chosen[group * args.k + i] = last.block;
      args.log_weights[group * args.k + i] = last.weight;
    }
    if (mine.block == last.block) mine = NextOfThread(args, weights, last);
  }
}

}  // namespace

const char* LaunchFold(const FoldArgs& args, CUstream_st* stream) {
  const auto partitions = static_cast<unsigned>(args.partitions);
  const dim3 rows{static_cast<unsigned>(args.rows), partitions, 1};
  if (const char* error = Launch(RowKernel, rows, 0, stream, args)) return error;
  if (args.k == 0) return nullptr;
  const int groups = (args.rows + args.rows_per_group - 1) / args.rows_per_group;
  const dim3 choices{static_cast<unsigned>(groups), partitions, 1};
  return Launch(ChooseKernel, choices, 0, stream, args);
}

}  // namespace cairn::cuda
