// Scores of representatives to each row's log-sum-exp, and to the blocks that a group chooses.
//
// Of a long past a block of threads has a share: parts of log-sum-exps where rows are few, then the
// heaviest of the share, and then of several lists of such. More than kThreads blocks are chosen
// one after the other by one block of threads.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/select.cuh"

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

constexpr int kMostSplitRows = 2 * kThreads;  // of all partitions, that shares make parts for
constexpr int kMostGroups = 65535;

// Of a row and share, the largest score and the sum of exp(score − that). Blocks of threads are
// [shares, rows, P].
__global__ void __launch_bounds__(kThreads) PartKernel(const FoldArgs args, float* parts) {
  __shared__ float tops[kWarps];
  __shared__ float sums[kWarps];
  const int64_t row = static_cast<int64_t>(blockIdx.z) * args.rows + blockIdx.y;
  const int warp = OwnWarp();
  const int first = static_cast<int>(blockIdx.x * kShare + threadIdx.x);
  float scores[kEach];
  float top = MinusInfinity();
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int b = first + i * kThreads;
    scores[i] = b < args.blocks ? BlockScore(args, row, b) : MinusInfinity();
    top = fmaxf(top, scores[i]);
  }
  top = MaxOverWarp(top);
  if (threadIdx.x % kWarp == 0) tops[warp] = top;
  __syncthreads();
  for (int i = 0; i < kWarps; ++i) top = fmaxf(top, tops[i]);
  float sum = 0.0f;
  if (top != MinusInfinity()) {
#pragma unroll
    for (int i = 0; i < kEach; ++i) sum += __expf(scores[i] - top);
  }
  sum = SumOverLanes(sum, kWarp);
  if (threadIdx.x % kWarp == 0) sums[warp] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  float total = 0.0f;
  for (int i = 0; i < kWarps; ++i) total += sums[i];
  parts[2 * (row * gridDim.x + blockIdx.x)] = top;
  parts[2 * (row * gridDim.x + blockIdx.x) + 1] = total;
}

// Where the heaviest go: `k` for each list, or what the caller asked for if there is one list.
struct Heaviest {
  const FoldArgs& args;
  uint32_t* lists;
  int count;
  int64_t group;
  int list;

  __device__ void operator()(int place, uint64_t key) const {
    if (count > 1) {
      uint32_t* to = lists + 2 * ((group * count + list) * args.k + place);
      to[0] = static_cast<uint32_t>(key >> 32);
      to[1] = static_cast<uint32_t>(key);
    } else {
      args.chosen[group * args.k + place] = OrdinalOf(key);
      args.log_weights[group * args.k + place] = WeightOf(key);
    }
  }
};

// Blocks of threads are [shares, groups, P]. With parts the group's log-sum-exps are made of them.
__global__ void __launch_bounds__(kThreads)
    ShareKernel(const FoldArgs args, const float* parts, uint32_t* lists) {
  __shared__ Selection selection;
  __shared__ float joined[kMostSplitRows];
  const int64_t group = static_cast<int64_t>(blockIdx.z) * gridDim.y + blockIdx.y;
  const int first = static_cast<int>(blockIdx.y) * args.rows_per_group;
  const int left = args.rows - first;
  const int rows = left < args.rows_per_group ? left : args.rows_per_group;
  const int64_t first_row = static_cast<int64_t>(blockIdx.z) * args.rows + first;
  const int shares = static_cast<int>(gridDim.x);
  if (parts != nullptr) {
    for (int r = OwnWarp(); r < rows; r += kWarps) {
      const int64_t row = first_row + r;
      const float other = args.other_lse == nullptr ? MinusInfinity() : args.other_lse[row];
      const float lse = JoinParts(parts + 2 * row * shares, shares, other);
      if (threadIdx.x % kWarp != 0) continue;
      joined[r] = lse;
      if (blockIdx.x == 0) args.lse[row] = lse;
    }
    __syncthreads();
  }
  const float* lse = parts != nullptr ? joined : args.lse + first_row;
  uint64_t keys[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int b = static_cast<int>(blockIdx.x * kShare + threadIdx.x) + i * kThreads;
    float largest = MinusInfinity();
    for (int r = 0; r < rows && b < args.blocks; ++r) {
      const float score = BlockScore(args, first_row + r, b);
      if (score != MinusInfinity()) largest = fmaxf(largest, score - lse[r]);
    }
    keys[i] = b < args.blocks ? KeyOf(largest, b) : 0;
  }
  const Heaviest write = {args, lists, shares, group, static_cast<int>(blockIdx.x)};
  Select(keys, args.k, selection, write);
}

// Blocks of threads are [lists that are made, groups, P]; one is made of kShare / k that there are.
__global__ void __launch_bounds__(kThreads)
    ListKernel(const FoldArgs args, const uint32_t* from, int lists, uint32_t* to) {
  __shared__ Selection selection;
  const int64_t group = static_cast<int64_t>(blockIdx.z) * gridDim.y + blockIdx.y;
  const int each = kShare / args.k;
  const int first = static_cast<int>(blockIdx.x) * each;
  const int left = lists - first;
  const int count = (left < each ? left : each) * args.k;
  const uint32_t* own = from + 2 * (group * lists + first) * args.k;
  uint64_t keys[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int at = static_cast<int>(threadIdx.x) + i * kThreads;
    keys[i] = at < count ? uint64_t{own[2 * at]} << 32 | own[2 * at + 1] : 0;
  }
  const Heaviest write = {args, to, static_cast<int>(gridDim.x), group,
                          static_cast<int>(blockIdx.x)};
  Select(keys, args.k, selection, write);
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
    if (threadIdx.x % kWarp == 0) offers[OwnWarp()] = best;
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
  const auto rows = static_cast<unsigned>(args.rows);
  const int groups = (args.rows + args.rows_per_group - 1) / args.rows_per_group;
  if (args.k == 0 || args.k > kThreads || groups > kMostGroups) {
    const char* error = Launch(RowKernel, dim3{rows, partitions, 1}, 0, stream, args);
    if (error != nullptr || args.k == 0) return error;
    const dim3 grid{static_cast<unsigned>(groups), partitions, 1};
    return Launch(ChooseKernel, grid, 0, stream, args);
  }
  // Lists, k times 64 bits each, take three quarters at most of what there is to work in.
  const int each = kShare / args.k;  // that one is made of
  int lists = (args.blocks + kShare - 1) / kShare;
  const int64_t list_words = 2 * int64_t{args.partitions} * groups * args.k;
  const int64_t words = (lists + (lists + each - 1) / each) * list_words;
  auto* from = reinterpret_cast<uint32_t*>(args.weights);
  uint32_t* to = from + lists * list_words;
  const int64_t part_words = 2 * int64_t{args.partitions} * args.rows * lists;
  const bool splits = lists > 1 && args.partitions * args.rows <= kMostSplitRows &&
                      words + part_words <= int64_t{args.partitions} * groups * args.blocks;
  float* const parts = splits ? args.weights + words : nullptr;
  const auto shares = static_cast<unsigned>(lists);
  const char* error =
      splits ? Launch(PartKernel, dim3{shares, rows, partitions}, 0, stream, args, parts)
             : Launch(RowKernel, dim3{rows, partitions, 1}, 0, stream, args);
  const dim3 grid{shares, static_cast<unsigned>(groups), partitions};
  const float* made = parts;
  if (error == nullptr) error = Launch(ShareKernel, grid, 0, stream, args, made, from);
  while (error == nullptr && lists > 1) {
    const int fewer = (lists + each - 1) / each;
    const dim3 joins{static_cast<unsigned>(fewer), static_cast<unsigned>(groups), partitions};
    const uint32_t* read = from;
    error = Launch(ListKernel, joins, 0, stream, args, read, lists, to);
    uint32_t* const read_already = from;
    from = to;
    to = read_already;
    lists = fewer;
  }
  return error;
}

}  // namespace cairn::cuda
