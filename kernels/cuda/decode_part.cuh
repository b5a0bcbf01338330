// What a block of threads of a decode takes, a row, some heads of a group and a part of the list,
// and where its result goes; whichever is the last of them to be done puts the parts together.
#pragma once

#include "kernels/cuda/merge.cuh"

namespace cairn::cuda {

struct DecodePart {
  int row, queries;
  int64_t query;  ///< the first, of the row's
  int position;
  const float* q;             ///< [queries, D]
  const PlacedBlock* blocks;  ///< [count]
  int count;
};

/// Blocks of threads are [splits, T, heads × passes over a group].
inline dim3 DecodeGrid(const AttendArgs& args, const Parts& parts, int queries_at_once) {
  const int passes = (args.group + queries_at_once - 1) / queries_at_once;
  return {static_cast<unsigned>(parts.splits), static_cast<unsigned>(args.rows),
          static_cast<unsigned>(args.heads * passes)};
}

__device__ __forceinline__ DecodePart OwnPart(const AttendArgs& args, int queries_at_once) {
  const int passes = (args.group + queries_at_once - 1) / queries_at_once;
  const int head = static_cast<int>(blockIdx.z) / passes;
  const int first = static_cast<int>(blockIdx.z) % passes * queries_at_once;
  DecodePart part;
  part.row = static_cast<int>(blockIdx.y);
  part.queries = args.group - first < queries_at_once ? args.group - first : queries_at_once;
  part.query = static_cast<int64_t>(head) * args.group + first;
  part.position = args.q_positions[part.row];
  part.q = args.q + part.row * args.q_row_stride + part.query * args.layout.head_dim;
  const int all = args.block_counts[head];
  const int share = (all + static_cast<int>(gridDim.x) - 1) / static_cast<int>(gridDim.x);
  const int begin = static_cast<int>(blockIdx.x) * share;
  const int left = all - begin;
  part.count = left < 0 ? 0 : left < share ? left : share;
  part.blocks = args.blocks + static_cast<int64_t>(head) * args.block_stride + begin;
  return part;
}

/// Where the part's queries are written, [queries, D].
__device__ __forceinline__ float* PartOutput(const AttendArgs& args, const Parts& parts,
                                             const DecodePart& part) {
  const int dim = args.layout.head_dim;
  if (parts.splits == 1 && parts.arrived == nullptr) {
    return args.o + part.row * args.o_row_stride + part.query * dim;
  }
  const int64_t row = static_cast<int64_t>(blockIdx.x) * args.rows + part.row;
  return parts.o + (row * args.heads * args.group + part.query) * dim;
}

/// Behind the outputs: log-sum-exps of what was seen, [queries], and the merge of all parts by the
/// last one. By all threads.
__device__ __forceinline__ void FinishPart(const AttendArgs& args, const Parts& parts,
                                           const DecodePart& part, const float* max,
                                           const float* sum) {
  const int64_t heads = int64_t{args.heads} * args.group;
  const bool whole = parts.splits == 1 && parts.arrived == nullptr;
  const int64_t row = (whole ? 0 : static_cast<int64_t>(blockIdx.x) * args.rows) + part.row;
  float* lse = (whole ? args.lse : parts.lse) + row * heads + part.query;
  if (static_cast<int>(threadIdx.x) < part.queries) {
    lse[threadIdx.x] = LogSumExp(max[threadIdx.x], sum[threadIdx.x]);
  }
  if (parts.arrived == nullptr || !IsLast(parts.arrived + part.row * gridDim.z + blockIdx.z)) {
    return;
  }
  for (int g = OwnWarp(); g < part.queries; g += kWarps) {
    MergeQuery(args, parts, part.row, part.query + g);
  }
}

}  // namespace cairn::cuda
