// Scores of all candidates, log-sum-exps and the heaviest blocks, in one launch.
//
// A block of threads scores a run and sums up each sub of it: the largest score of a row, and the
// sum of exp(score − that). Whichever is the last of a partition to be done joins these to
// log-sum-exps, and so knows the largest weight of every sub. The k heaviest blocks lie in the k
// subs whose largest weights are the heaviest: in any other sub a block has k blocks before it. So
// it looks at k·32 scores, however long the past is.
#include "kernels/cuda/code_run.cuh"
#include "kernels/cuda/sampled.cuh"
#include "kernels/cuda/select.cuh"
#include "kernels/cuda/vector_run.cuh"

namespace cairn::cuda {
namespace {

constexpr int kScoreStride = kMostScanned + 4;  // so that lanes of a product write to all banks

// What a block of threads shares while it scores, and while it chooses.
template <int kDim>
struct Scoring {
  alignas(16) float queries[kScoredRows * kDim];
  CodeQueries<kDim / 64> for_codes;
  float scores[kScoredRows * kScoreStride];
};
struct Choosing {
  Selection selection;
  uint64_t kept[kThreads];
  int subs[kThreads];
  float lse[kScoredRows];
};
template <int kDim>
union Shared {
  Scoring<kDim> scoring;
  Choosing choosing;
};

// The candidate of a sub's lane 0, and which of its lanes have one.
struct Sub {
  int first, begin, end;
};

__device__ __forceinline__ int Least(int a, int b) { return a < b ? a : b; }

__device__ Sub SubOf(const ScanArgs& args, int sub) {
  Sub of = {0, 0, kSubBlocks};
  if (sub < args.code_runs * args.code_subs) {
    const int run = sub / args.code_subs;
    const int in_run = sub % args.code_subs * kSubBlocks;
    const int in_chunk = run % args.code_parts * args.code_run_blocks + in_run;
    const int chunk_blocks = args.codes.chunk_vectors / args.representatives;
    of.first =
        run / args.code_parts * chunk_blocks + in_chunk - args.codes.first / args.representatives;
    of.begin = of.first < 0 ? -of.first : 0;
    of.end = Least(of.end, Least(args.code_run_blocks - in_run, chunk_blocks - in_chunk));
    of.end = Least(of.end, args.coded - of.first);
    return of;
  }
  sub -= args.code_runs * args.code_subs;
  if (sub < args.plain_runs * args.plain_subs) {
    const int in_run = sub % args.plain_subs * kSubBlocks;
    of.first = args.coded + sub / args.plain_subs * args.plain_run_blocks + in_run;
    of.end = Least(of.end, Least(args.plain_run_blocks - in_run, args.far - of.first));
    return of;
  }
  of.first = args.far + (sub - args.plain_runs * args.plain_subs) * kSubBlocks;
  of.end = Least(of.end, args.far + args.near - of.first);
  return of;
}

__device__ __forceinline__ Query QueryOfRow(const ScanArgs& args, int row) {
  const int group = args.sampled.group;
  return QueryOf(args.sampled, row / group, static_cast<int>(blockIdx.y) * group + row % group);
}

// [8, kDim], zeros behind rows and columns.
template <int kDim>
__device__ void PutQueries(const ScanArgs& args, float* queries) {
  const int dim = args.sampled.dim;
  for (int i = static_cast<int>(threadIdx.x); i < kScoredRows * kDim; i += kThreads) {
    const int row = i / kDim, column = i % kDim;
    if (row >= args.rows || column >= dim) {
      queries[i] = 0.0f;
    } else if (args.rotation.table == nullptr) {
      queries[i] = QueryOfRow(args, row).q[column];
    }
  }
  if (args.rotation.table == nullptr) return;
  for (int i = static_cast<int>(threadIdx.x); i < args.rows * (dim / 2); i += kThreads) {
    const int row = i / (dim / 2);
    RotateForSearch(args.sampled, args.rotation, args.slot_position, args.bf16,
                    QueryOfRow(args, row), i % (dim / 2), queries + row * kDim, args.missing);
  }
}

// Where a block of threads puts the scores of a run.
struct PutScore {
  float* scores;
  __device__ __forceinline__ void operator()(int row, int vector, float score) const {
    scores[row * kScoreStride + vector] = score;
  }
};

template <int kDim>
using Codes = CodeRun<kDim / 64, kDim <= 128 ? 4 : 2>;

template <int kDim>
__device__ void ScoreCodeRun(const ScanArgs& args, int run, Scoring<kDim>& shared) {
  const ScoreCodesArgs& codes = args.codes;
  const int64_t partition = blockIdx.y;
  const int chunk = run / args.code_parts;
  const int start = run % args.code_parts * args.code_run_blocks * args.representatives;
  const int before = chunk * codes.chunk_vectors + start - codes.first;  // vectors scored
  const int64_t left = codes.vectors - before;
  int end = Least(args.code_run_blocks * args.representatives, codes.chunk_vectors - start);
  if (left < end) end = static_cast<int>(left);
  const int begin = before < 0 ? -before : 0;
  Codes<kDim> of_run;
  of_run.Load(codes.codes + partition * codes.code_stride +
                  (int64_t{chunk} * codes.chunk_vectors + start) * codes.coded_dim,
              codes.coded_dim, begin, end);
  WaitForLaunchBefore();
  PutQueries<kDim>(args, shared.queries);
  __syncthreads();
  MakeReady(codes,
            codes.scales + partition * codes.scale_stride + int64_t{chunk} * 2 * codes.coded_dim,
            shared.queries, kDim, args.rows, shared.for_codes);
  of_run.Multiply(shared.for_codes, begin, end, PutScore{shared.scores});
}

template <class Vectors>
__device__ void ScoreVectorRun(const ScanArgs& args, int run, Scoring<Vectors::kMostDim>& shared) {
  constexpr int kDim = Vectors::kMostDim;
  const ScoreArgs& plain = args.plain;
  const int64_t first = int64_t{run} * args.plain_run_blocks * args.representatives;
  const int64_t row_bytes = plain.padded_dim * Vectors::kNumberBytes;
  const std::byte* stored = plain.stored +
                            blockIdx.y * plain.partition_stride * Vectors::kNumberBytes +
                            first * row_bytes;
  Vectors vectors;
  vectors.Load(stored, plain.padded_dim, plain.vectors - first);
  WaitForLaunchBefore();
  PutQueries<kDim>(args, shared.queries);
  __syncthreads();
  for (int pass = 0; pass < args.plain_passes; ++pass) {
    const int done = pass * Vectors::kVectors;
    if (pass > 0) {
      vectors.Load(stored + done * row_bytes, plain.padded_dim, plain.vectors - first - done);
    }
    vectors.Multiply(shared.queries, kDim, plain.padded_dim, plain.vectors - first - done,
                     PutScore{shared.scores + done});
  }
}

__device__ void ScoreNearRun(const ScanArgs& args, int run, float* scores) {
  WaitForLaunchBefore();
  for (int i = OwnWarp(); i < args.rows * kSubBlocks; i += kWarps) {
    const int row = i / kSubBlocks, near = run * kSubBlocks + i % kSubBlocks;
    if (near >= args.near) continue;
    const Query query = QueryOfRow(args, row);
    const float* key = args.near_keys + (int64_t{query.head} * args.near + near) * args.sampled.dim;
    const float score = NearScore(args.sampled, args.rotation, query,
                                  query.position - (near + 1) * args.block_rows, key);
    if (threadIdx.x % kWarp == 0) scores[row * kScoreStride + i % kSubBlocks] = score;
  }
}

// Of a run's scores, those of blocks, and the part of each sub. A warp takes every so many subs.
__device__ void FoldRun(const ScanArgs& args, const float* scores, int first_sub, int subs) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int i = OwnWarp(); i < subs; i += kWarps) {
    const int sub = first_sub + i;
    const Sub of = SubOf(args, sub);
    const bool is = lane >= of.begin && lane < of.end;
    const int64_t place = static_cast<int64_t>(blockIdx.y) * args.subs + sub;
    for (int row = 0; row < args.rows; ++row) {
      float score = MinusInfinity();
      if (is) {
        const float* own =
            scores + row * kScoreStride + (i * kSubBlocks + lane) * args.representatives;
        score = own[0];
        for (int r = 1; r < args.representatives; ++r) score = fmaxf(score, own[r]);
      }
      args.scores[(place * args.rows + row) * kSubBlocks + lane] = score;
      const float top = MaxOverWarp(score);
      const float weight = top == MinusInfinity() ? 0.0f : __expf(score - top);
      const float sum = SumOverLanes(weight, kWarp);
      if (lane != 0) continue;
      const int64_t part = (static_cast<int64_t>(blockIdx.y) * args.rows + row) * args.subs + sub;
      args.parts[2 * part] = top;
      args.parts[2 * part + 1] = sum;
    }
  }
}

// The k first of n keys, the largest first, in `kept`; 0 where there are fewer. Begins and ends
// with a barrier between this and what else uses `shared`.
template <class KeyAt>
__device__ void SelectOfMany(int n, int k, Choosing& shared, const KeyAt& key_at) {
  int held = 0;  // of those that came before
  for (int next = 0; next == 0 || next < n;) {
    uint64_t keys[kEach];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int at = static_cast<int>(threadIdx.x) + i * kThreads;
      const int from = next + at - held;
      keys[i] = at < held ? shared.kept[at] : from < n ? key_at(from) : 0;
    }
    Select(keys, k, shared.selection, [&](int place, uint64_t key) { shared.kept[place] = key; });
    next += kShare - held;
    held = k;
  }
  __syncthreads();
}

// By the last block of threads of a partition.
__device__ void Choose(const ScanArgs& args, Choosing& shared) {
  const int64_t partition = blockIdx.y;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const float* parts = args.parts + 2 * partition * args.rows * args.subs;
  for (int row = OwnWarp(); row < args.rows; row += kWarps) {
    const int64_t at = partition * args.rows + row;
    const float other = args.other_lse == nullptr ? MinusInfinity() : args.other_lse[at];
    const float lse = JoinParts(parts + 2 * int64_t{row} * args.subs, args.subs, other);
    if (lane != 0) continue;
    shared.lse[row] = lse;
    args.lse[at] = lse;
  }
  if (args.k == 0) return;
  SelectOfMany(args.subs, args.k, shared, [&](int sub) {
    const Sub of = SubOf(args, sub);
    float largest = MinusInfinity();
#pragma unroll 4
    for (int row = 0; row < args.rows; ++row) {
      const float top = __ldcg(parts + 2 * (int64_t{row} * args.subs + sub));
      if (top != MinusInfinity()) largest = fmaxf(largest, top - shared.lse[row]);
    }
    return of.begin < of.end ? KeyOf(largest, sub) : 0;
  });
  const int own = static_cast<int>(threadIdx.x);
  if (own < args.k) shared.subs[own] = OrdinalOf(shared.kept[own]);
  SelectOfMany(args.k * kSubBlocks, args.k, shared, [&](int i) -> uint64_t {
    const int sub = shared.subs[i / kSubBlocks], at = i % kSubBlocks;
    if (sub < 0) return 0;
    const Sub of = SubOf(args, sub);
    const float* scores = args.scores + (partition * args.subs + sub) * args.rows * kSubBlocks + at;
    float largest = MinusInfinity();
#pragma unroll 4
    for (int row = 0; row < args.rows; ++row) {
      const float score = __ldcg(scores + row * kSubBlocks);
      if (score != MinusInfinity()) largest = fmaxf(largest, score - shared.lse[row]);
    }
    return at >= of.begin && at < of.end ? KeyOf(largest, of.first + at) : 0;
  });
  if (own >= args.k) return;
  args.chosen[partition * args.k + own] = OrdinalOf(shared.kept[own]);
  args.log_weights[partition * args.k + own] = WeightOf(shared.kept[own]);
}

// Blocks of threads are [runs, P]; near runs, which take longest, come first.
template <class Vectors, bool kCodes>
__global__ void __launch_bounds__(kThreads) ScanKernel(const ScanArgs args) {
  auto& shared = *reinterpret_cast<Shared<Vectors::kMostDim>*>(SharedFloats());
  LetNextBegin();
  int run = static_cast<int>(blockIdx.x);
  int first_sub = args.subs - args.near_runs + run, subs = 1;
  if (run < args.near_runs) {
    ScoreNearRun(args, run, shared.scoring.scores);
  } else if (kCodes && run < args.near_runs + args.code_runs) {
    if constexpr (kCodes) {
      run -= args.near_runs;
      first_sub = run * args.code_subs;
      subs = args.code_subs;
      ScoreCodeRun<Vectors::kMostDim>(args, run, shared.scoring);
    }
  } else {
    run -= args.near_runs + args.code_runs;
    first_sub = args.code_runs * args.code_subs + run * args.plain_subs;
    subs = args.plain_subs;
    ScoreVectorRun<Vectors>(args, run, shared.scoring);
  }
  __syncthreads();
  FoldRun(args, shared.scoring.scores, first_sub, subs);
  if (!IsLast(args.arrived + blockIdx.y)) return;
  Choose(args, shared.choosing);
}

template <Element kElement, int kPieces, int kEach>
const char* LaunchVectors(const ScanArgs& args, bool overlaps, CUstream_st* stream) {
  using Vectors = VectorRun<kElement, kPieces, kEach>;
  constexpr int kDim = Vectors::kMostDim;
  static_assert(ScanDim(kElement, kDim) == kDim);
  static_assert(Vectors::kVectors == VectorRunVectors(kElement, kDim));
  static_assert(Codes<kDim>::kVectors == CodeRunVectors(kElement, kDim));
  const dim3 grid{static_cast<unsigned>(args.near_runs + args.code_runs + args.plain_runs),
                  static_cast<unsigned>(args.partitions), 1};
  return LaunchThat(overlaps,
                    args.code_runs > 0 ? ScanKernel<Vectors, true> : ScanKernel<Vectors, false>,
                    grid, int64_t{sizeof(Shared<kDim>)}, stream, args);
}

}  // namespace

const char* LaunchScan(const ScanArgs& args, bool overlaps, CUstream_st* stream) {
  const int dim = ScanDim(args.element, args.sampled.dim);
  if (args.element == Element::kF32) {
    return LaunchVectors<Element::kF32, 8, 1>(args, overlaps, stream);
  }
  if (dim == 64) return LaunchVectors<Element::kBF16, 1, 4>(args, overlaps, stream);
  if (dim == 128) return LaunchVectors<Element::kBF16, 2, 4>(args, overlaps, stream);
  return LaunchVectors<Element::kBF16, 4, 2>(args, overlaps, stream);
}

}  // namespace cairn::cuda
