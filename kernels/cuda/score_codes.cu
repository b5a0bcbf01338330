// Inner products of rows of queries with chunks of codes.
//
// A block of threads has 8 rows of a partition and a chunk of vectors, or half of one. All its
// codes are asked for at once, and while they come the queries are made ready: multiplied by the
// chunk's steps, and split into two rows of 8 bits, together 15. Products are those of tensor
// cores: with multiply-adds, or sums of four products, arithmetic for 8 rows would take longer than
// memory needs for the codes.
#include "kernels/cuda/code_product.cuh"
#include "kernels/cuda/elements.cuh"

namespace cairn::cuda {
namespace {

constexpr int kRows = kScoredRows;
constexpr int kLanes = 8;        // that make a query ready
constexpr int kRoundWords = 16;  // of a vector, that 4 lanes load at once
static_assert(kRows == kProductQueries && 2 * kRows * kLanes == kThreads);

// What a block of threads shares.
template <int kRounds>
struct Queries {
  float units[kRows];
  float offsets[kRows];
  uint32_t words[2][kRows][kRounds * kRoundWords];  // upper and lower bits
};

__device__ __forceinline__ float MaxOverTeam(float value) {
  for (int apart = kLanes / 2; apart > 0; apart /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, apart));
  }
  return value;
}

/// The nearest whole number to x, which is below 2^22.
__device__ __forceinline__ int Rounded(float x) {
  return static_cast<int>(__float_as_uint(__fadd_rn(x, 12582912.0f)) - 0x4b400000u);
}

// Lanes take words of four numbers in turn.
template <int kRounds>
__device__ void SplitQuery(const ScoreCodesArgs& args, const float* query, const float* step,
                           int row, Queries<kRounds>& to) {
  constexpr int kWords = kRounds * kRoundWords / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  float scaled[kWords][4];
  float largest = 0.0f;
#pragma unroll
  for (int w = 0; w < kWords; ++w) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = 4 * (lane + w * kLanes) + i;
      const bool is = query != nullptr && column < args.dim;
      scaled[w][i] = is ? __fmul_rn(query[column], step[column]) : 0.0f;
      largest = fmaxf(largest, fabsf(scaled[w][i]));
    }
  }
  largest = MaxOverTeam(largest);
  const bool any = largest > args.no_query;
  const float inverse = any ? __fdiv_rn(args.units, largest) : 0.0f;
#pragma unroll
  for (int w = 0; w < kWords; ++w) {
    uint32_t upper = 0, lower = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int number = Rounded(__fmul_rn(scaled[w][i], inverse));
      upper |= (static_cast<uint32_t>(number >> 7) & 0xffu) << 8 * i;
      lower |= (static_cast<uint32_t>(number) & 0x7fu) << 8 * i;
    }
    to.words[0][row][lane + w * kLanes] = upper;
    to.words[1][row][lane + w * kLanes] = lower;
  }
  if (lane == 0) to.units[row] = any ? __fdiv_rn(largest, args.units) : 0.0f;
}

// q·centre, added in the order in which ScoreVectors adds for vectors of this type, so that where
// all vectors of a chunk are equal they weigh as much as equal ones that are no codes yet.
__device__ float ProductWithCentre(const ScoreCodesArgs& args, const float* query,
                                   const float* centre) {
  const int numbers = args.element == Element::kF32 ? 4 : 8;  // that a lane has side by side
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  float sum = 0.0f;
  for (int first = lane * numbers; first < args.dim && query != nullptr;
       first += kLanes * numbers) {
    const int end = first + numbers < args.dim ? first + numbers : args.dim;
    for (int column = first; column < end; ++column) sum += query[column] * centre[column];
  }
  return SumOverLanes(sum, kLanes);
}

// For all threads: half of them split queries, the others multiply them with centres.
template <int kRounds>
__device__ __forceinline__ void MakeReady(const ScoreCodesArgs& args, int chunk, int first_row,
                                          Queries<kRounds>& queries) {
  const int64_t partition = blockIdx.y;
  const int row = static_cast<int>(threadIdx.x) / kLanes % kRows;
  const float* query = nullptr;
  if (first_row + row < args.rows) {
    query = args.queries + (partition * args.rows + first_row + row) * args.dim;
  }
  const float* centre =
      args.scales + partition * args.scale_stride + int64_t{chunk} * 2 * args.coded_dim;
  if (threadIdx.x < kThreads / 2) {
    SplitQuery<kRounds>(args, query, centre + args.coded_dim, row, queries);
  } else {
    const float offset = ProductWithCentre(args, query, centre);
    if (threadIdx.x % kLanes == 0) queries.offsets[row] = offset;
  }
  __syncthreads();
}

// Blocks of threads are [chunks or halves of them, P, eights of rows]; a warp has kTiles times 16
// vectors, of which 4 lanes load 64 bytes in kRounds rounds.
template <int kRounds, int kTiles>
__global__ void __launch_bounds__(kThreads) ScoreCodesKernel(const ScoreCodesArgs args) {
  constexpr int kRun = kWarps * kTiles * kProductVectors;
  auto& queries = *reinterpret_cast<Queries<kRounds>*>(SharedFloats());
  const int parts = (args.chunk_vectors + kRun - 1) / kRun;
  const int chunk = static_cast<int>(blockIdx.x) / parts;
  const int64_t partition = blockIdx.y;
  const int first_row = static_cast<int>(blockIdx.z) * kRows;
  const int group = static_cast<int>(threadIdx.x) % kWarp / 4;
  const int quarter = static_cast<int>(threadIdx.x) % 4;

  // Of this lane's vectors, the first in the chunk, and what is scored of the chunk.
  const int first = static_cast<int>(blockIdx.x) % parts * kRun +
                    static_cast<int>(threadIdx.x) / kWarp * kTiles * kProductVectors + group;
  const int64_t before = int64_t{chunk} * args.chunk_vectors - args.first;  // vectors scored
  const int begin = before < 0 ? args.first : 0;
  const int64_t left = args.vectors - before;
  const int end = left < args.chunk_vectors ? static_cast<int>(left) : args.chunk_vectors;
  const int8_t* codes = args.codes + partition * args.code_stride +
                        int64_t{chunk} * args.chunk_vectors * args.coded_dim;
  uint4 words[kTiles][2][kRounds];
#pragma unroll
  for (int i = 0; i < 2 * kTiles; ++i) {
    const int vector = first + i * kProductVectors / 2;
    const bool is = vector >= begin && vector < end;
#pragma unroll
    for (int round = 0; round < kRounds; ++round) {
      const int at = round * kRoundWords * 4 + quarter * 16;
      words[i / 2][i % 2][round] =
          is && at < args.coded_dim
              ? *reinterpret_cast<const uint4*>(codes + vector * args.coded_dim + at)
              : uint4{0, 0, 0, 0};
    }
  }

  MakeReady<kRounds>(args, chunk, first_row, queries);
  uint4 high[kRounds], low[kRounds];
#pragma unroll
  for (int round = 0; round < kRounds; ++round) {
    const int at = round * kRoundWords + quarter * 4;
    high[round] = *reinterpret_cast<const uint4*>(queries.words[0][group] + at);
    low[round] = *reinterpret_cast<const uint4*>(queries.words[1][group] + at);
  }
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    __syncwarp();  // lanes leave out unlike scores, and multiply together
    int upper[4] = {}, lower[4] = {};
#pragma unroll
    for (int round = 0; round < kRounds; ++round) {
      const uint4 a = words[tile][0][round], b = words[tile][1][round];
      AddProducts({a.x, b.x, a.y, b.y}, {high[round].x, high[round].y}, upper);
      AddProducts({a.z, b.z, a.w, b.w}, {high[round].z, high[round].w}, upper);
      AddProducts({a.x, b.x, a.y, b.y}, {low[round].x, low[round].y}, lower);
      AddProducts({a.z, b.z, a.w, b.w}, {low[round].z, low[round].w}, lower);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int vector = first + tile * kProductVectors + (i / 2) * kProductVectors / 2;
      const int row = 2 * quarter + i % 2;
      if (vector < begin || vector >= end || first_row + row >= args.rows) continue;
      const auto sum = static_cast<float>(128 * upper[i] + lower[i]);
      args.scores[(partition * args.rows + first_row + row) * args.score_stride + before + vector] =
          queries.offsets[row] + queries.units[row] * sum;
    }
  }
}

template <int kRounds, int kTiles>
const char* LaunchRounds(const ScoreCodesArgs& args, CUstream_st* stream) {
  constexpr int kRun = kWarps * kTiles * kProductVectors;
  const int parts = (args.chunk_vectors + kRun - 1) / kRun;
  const dim3 grid{static_cast<unsigned>(args.chunks * parts),
                  static_cast<unsigned>(args.partitions),
                  static_cast<unsigned>((args.rows + kRows - 1) / kRows)};
  return Launch(ScoreCodesKernel<kRounds, kTiles>, grid, int64_t{sizeof(Queries<kRounds>)}, stream,
                args);
}

}  // namespace

const char* LaunchScoreCodes(const ScoreCodesArgs& args, CUstream_st* stream) {
  if (args.coded_dim <= 64) return LaunchRounds<1, 4>(args, stream);
  if (args.coded_dim <= 128) return LaunchRounds<2, 4>(args, stream);
  return LaunchRounds<4, 2>(args, stream);
}

}  // namespace cairn::cuda
