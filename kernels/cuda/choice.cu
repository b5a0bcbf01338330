// What a choice of blocks needs beside scoring and folding: rotated queries, scores of near blocks,
// and lists of what was chosen.
#include "kernels/cuda/sampled.cuh"

namespace cairn::cuda {
namespace {

constexpr uint32_t kNowhere = 0xffffffffu;  // kAbsent

// Blocks of threads are [S, Hq]; a thread has every so many pairs of columns.
__global__ void __launch_bounds__(kThreads) SearchQueriesKernel(const SearchQueriesArgs args) {
  const Query query =
      QueryOf(args.sampled, static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y));
  const int dim = args.sampled.dim;
  for (int c = static_cast<int>(threadIdx.x); c < dim / 2; c += kThreads) {
    RotateForSearch(args.sampled, args.rotation, args.slot_position, args.bf16, query, c,
                    args.queries + query.place * dim, args.missing);
  }
}

// Blocks of threads are [S, Hq]; a warp has every so many near blocks.
__global__ void __launch_bounds__(kThreads) NearScoresKernel(const NearScoresArgs args) {
  const Query query =
      QueryOf(args.sampled, static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y));
  for (int i = OwnWarp(); i < args.near; i += kWarps) {
    const int64_t key = static_cast<int64_t>(query.head) * args.near + i;
    const float score =
        NearScore(args.sampled, args.rotation, query, query.position - (i + 1) * args.block_rows,
                  args.keys + key * args.sampled.dim);
    if (threadIdx.x % kWarp == 0) args.scores[query.place * args.score_stride + i] = score;
  }
}

__device__ __forceinline__ int BlockOf(const PlaceArgs& args, int candidate) {
  if (candidate < 0) return -1;
  return candidate < args.far_count ? args.far_begin + candidate
                                    : args.near_begin + candidate - args.far_count;
}

// Chosen blocks before `block`, which is the i-th; of equal ones, of which there are none but where
// nothing was chosen, those before it.
__device__ int RankOf(const PlaceArgs& args, const int32_t* chosen, int i, int block) {
  int rank = 0;
  for (int j = 0; j < args.k; ++j) {
    const int other = BlockOf(args, chosen[j]);
    rank += other < block || (other == block && j < i) ? 1 : 0;
  }
  return rank;
}

// Blocks of threads are [heads, groups]; a thread has every so many blocks of a list.
__global__ void __launch_bounds__(kThreads) PlaceKernel(const PlaceArgs args) {
  __shared__ int absent[kWarps];
  const auto head = static_cast<int>(blockIdx.x);
  const auto group = static_cast<int>(blockIdx.y);
  const int per_list = args.fixed + args.k;
  const int64_t list = static_cast<int64_t>(group) * args.heads + head;
  const int32_t* chosen =
      args.chosen == nullptr
          ? nullptr
          : args.chosen + (static_cast<int64_t>(head) * args.groups + group) * args.k;
  int mine = 0;
  for (int i = static_cast<int>(threadIdx.x); i < per_list; i += kThreads) {
    int block, slot, at;
    if (i < args.k) {
      block = BlockOf(args, chosen == nullptr ? i : chosen[i]);
      const int rank = chosen == nullptr ? i : RankOf(args, chosen, i, block);
      const bool near = block >= args.near_begin && block < args.near_end;
      slot = args.first_slot + (rank > args.crowd ? rank - args.crowd : 0) + (near ? 1 : 0);
      at = args.sinks + rank;
    } else {
      const int fixed = i - args.k;
      block = args.fixed_blocks[fixed];
      slot = args.fixed_slots[fixed];
      at = fixed < args.sinks ? fixed : fixed + args.k;
    }
    const uint32_t lies = block < 0 ? kNowhere : args.table[head * args.table_stride + block];
    if (block < 0) atomicOr(args.missing, kNothingChosen);
    if (lies == kNowhere) ++mine;
    PlacedBlock placed;
    placed.payload = lies == kNowhere ? nullptr : args.slots + lies * args.slot_bytes;
    placed.position = slot * args.block_rows;
    placed.rows = args.block_rows;
    args.placed[list * per_list + at] = placed;
    args.ordinals[list * per_list + at] = block;
  }
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    mine += __shfl_xor_sync(kAllLanes, mine, apart);
  }
  if (threadIdx.x % kWarp == 0) absent[OwnWarp()] = mine;
  __syncthreads();
  if (threadIdx.x != 0) return;
  int all = 0;
  for (int w = 0; w < kWarps; ++w) all += absent[w];
  args.counts[list] = all == 0 ? per_list : 0;
  if (all == 0) return;
  atomicAdd(args.missing, all);
  atomicExch(args.stopped, 1);  // others may too
}

__global__ void __launch_bounds__(kThreads)
    UpdateTableKernel(int32_t count, const int64_t* places, const uint32_t* values,
                      uint32_t* table) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) table[places[i]] = values[i];
}

dim3 GridOf(const Sampled& sampled) {
  return {static_cast<unsigned>(sampled.rows), static_cast<unsigned>(sampled.heads * sampled.group),
          1};
}

}  // namespace

const char* LaunchSearchQueries(const SearchQueriesArgs& args, CUstream_st* stream) {
  return Launch(SearchQueriesKernel, GridOf(args.sampled), 0, stream, args);
}

const char* LaunchNearScores(const NearScoresArgs& args, CUstream_st* stream) {
  return Launch(NearScoresKernel, GridOf(args.sampled), 0, stream, args);
}

const char* LaunchPlace(const PlaceArgs& args, CUstream_st* stream) {
  const dim3 grid{static_cast<unsigned>(args.heads), static_cast<unsigned>(args.groups), 1};
  return Launch(PlaceKernel, grid, 0, stream, args);
}

const char* LaunchUpdateTable(int32_t count, const int64_t* places, const uint32_t* values,
                              uint32_t* table, CUstream_st* stream) {
  const dim3 grid{static_cast<unsigned>((count + kThreads - 1) / kThreads), 1, 1};
  return Launch(UpdateTableKernel, grid, 0, stream, count, places, values, table);
}

}  // namespace cairn::cuda
