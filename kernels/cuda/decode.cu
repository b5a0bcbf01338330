// Attention of one row's query group over its blocks, read in place, of what is not for tensor
// cores (decode_tensor.cu): f32, and rows that are not read 8 numbers at a time.
#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/decode_part.cuh"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/rotate.cuh"

namespace cairn::cuda {
namespace {

constexpr int kRowsAtOnce = 4;  // keys or values a lane has asked for before it uses one

// How a kernel reads: kNumbers of a row at once, for kQueries queries together.
template <Element kElementValue, int kNumbersValue, int kQueriesValue>
struct Reading {
  static constexpr Element kElement = kElementValue;
  static constexpr int kNumbers = kNumbersValue;
  static constexpr int kQueries = kQueriesValue;
  using Numbers = Chunk<kElementValue, kNumbersValue>;
};

// Shared memory of a block of threads.
template <int kQueries>
struct DecodeMemory {
  __device__ explicit DecodeMemory(const Layout& layout, float* memory)
      : score_stride(layout.block_rows),
        max(memory),
        sum(max + kQueries),
        keep(sum + kQueries),
        scores(keep + kQueries),
        queries(scores + (kQueries * layout.block_rows + 3) / 4 * 4) {}

  int score_stride;
  float* max;      // [kQueries]
  float* sum;      // [kQueries]
  float* keep;     // [kQueries], what is left of the sums before this block
  float* scores;   // [kQueries, B], then weights
  float* queries;  // [kQueries, D]; in the end [threads of a column, D]
};

template <int kQueries>
int64_t DecodeSharedBytes(const Layout& layout, int numbers) {
  const int64_t queries = int64_t{kQueries} * layout.head_dim;
  const int64_t sums = int64_t{kThreads} * numbers;
  const int64_t scores = (int64_t{kQueries} * layout.block_rows + 3) / 4 * 4;
  return (3 * kQueries + scores + (queries > sums ? queries : sums)) * 4;
}

// What the row sees of a block. Registers hold 8 KiB of loads of a block of threads, and none while
// it rotates and weighs: too few to keep memory busy. So blocks are asked for one ahead.
__device__ __forceinline__ void PrefetchBlock(const AttendArgs& args, const PlacedBlock& block,
                                              int offset) {
  const Layout& layout = args.layout;
  const Sight sight = SightOf(args, block, offset);
  PrefetchBytes(block.payload, KeyRows(sight) * layout.row_bytes);
  PrefetchBytes(ValueRow(layout, block.payload, 0), sight.rows * layout.row_bytes);
}

// The queries as this block's keys want them: rotated, times scale, of codes times K's scales.
template <class R>
__device__ void RotateQueries(const AttendArgs& args, const float* q, int queries, int offset,
                              const float* scales, float* rotated) {
  const int dim = args.layout.head_dim;
  const int half = dim / 2;
  for (int i = static_cast<int>(threadIdx.x); i < R::kQueries * half; i += kThreads) {
    const int g = i / half;
    const Pair pair = PairAt(args.rotation, dim, offset, i % half);
    float a = 0.0f;
    float b = 0.0f;
    if (g < queries) {
      a = q[static_cast<int64_t>(g) * dim + pair.first] * args.scale;
      b = q[static_cast<int64_t>(g) * dim + pair.second] * args.scale;
      RotatePair(pair, &a, &b);
    }
    if constexpr (R::kElement == Element::kQ8) {
      a *= scales[pair.first];
      b *= scales[pair.second];
    }
    rotated[g * dim + pair.first] = a;
    rotated[g * dim + pair.second] = b;
  }
}

// sums[g][i] += queries[g] · words[i], which are chunk `chunk` of some keys.
template <class R>
__device__ __forceinline__ void AddProducts(const typename R::Numbers::Word* words,
                                            const float* queries, int dim, int chunk,
                                            float (*sums)[kRowsAtOnce]) {
  float keys[kRowsAtOnce][R::kNumbers];
#pragma unroll
  for (int i = 0; i < kRowsAtOnce; ++i) R::Numbers::Unpack(words[i], keys[i]);
#pragma unroll
  for (int g = 0; g < R::kQueries; ++g) {
    float query[R::kNumbers];
    CopyFloats<R::kNumbers>(queries + g * dim + chunk * R::kNumbers, query);
#pragma unroll
    for (int i = 0; i < kRowsAtOnce; ++i) {
#pragma unroll
      for (int c = 0; c < R::kNumbers; ++c) sums[g][i] += query[c] * keys[i][c];
    }
  }
}

// scores[g][t] = queries[g] · key t for t in [0, rows). A run of `lanes` lanes has a row.
template <class R>
__device__ void ScoreKeys(const Layout& layout, const std::byte* payload, int rows, int queries,
                          int lanes, const DecodeMemory<R::kQueries>& memory) {
  const int dim = layout.head_dim;
  const int chunks = dim / R::kNumbers;
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const int step = kThreads / lanes;
  const int mine = static_cast<int>(threadIdx.x) / lanes;
  for (int base = 0; base < rows; base += step * kRowsAtOnce) {
    float sums[R::kQueries][kRowsAtOnce] = {};
    for (int chunk = lane; chunk < chunks; chunk += lanes) {
      typename R::Numbers::Word words[kRowsAtOnce];
#pragma unroll
      for (int i = 0; i < kRowsAtOnce; ++i) {
        const int row = base + i * step + mine;
        words[i] = R::Numbers::Load(KeyRow(layout, payload, row < rows ? row : rows - 1), chunk);
      }
      AddProducts<R>(words, memory.queries, dim, chunk, sums);
    }
#pragma unroll
    for (int i = 0; i < kRowsAtOnce; ++i) {
      if (base + i * step >= rows) break;  // as all threads of the block
      const int row = base + i * step + mine;
#pragma unroll
      for (int g = 0; g < R::kQueries; ++g) {
        if (g >= queries) break;
        const float score = SumOverLanes(sums[g][i], lanes);
        if (lane == 0 && row < rows) memory.scores[g * memory.score_stride + row] = score;
      }
    }
  }
}

// Sums of weighted values of some columns: thread `mine` of the `threads` that share them reads
// every so many rows. Queries that are not there are summed up too, without meaning.
template <class R>
struct ValueSums {
  using Values = typename R::Numbers;

  __device__ explicit ValueSums(const Layout& layout)
      : chunks(layout.head_dim / R::kNumbers),
        threads(kThreads / chunks),
        chunk(static_cast<int>(threadIdx.x) % chunks),
        mine(static_cast<int>(threadIdx.x) / chunks) {}

  __device__ void Add(const Layout& layout, const std::byte* payload, int rows,
                      const DecodeMemory<R::kQueries>& memory) {
    float scales[R::kNumbers];
#pragma unroll
    for (int c = 0; c < R::kNumbers; ++c) {
      scales[c] = 1.0f;
      if constexpr (R::kElement == Element::kQ8) {
        scales[c] = Scales(layout, payload)[layout.head_dim + chunk * R::kNumbers + c];
      }
    }
#pragma unroll
    for (int g = 0; g < R::kQueries; ++g) {
#pragma unroll
      for (int c = 0; c < R::kNumbers; ++c) sums[g][c] *= memory.keep[g];
    }
    for (int base = mine < threads ? mine : rows; base < rows; base += threads * kRowsAtOnce) {
      typename Values::Word words[kRowsAtOnce];
#pragma unroll
      for (int i = 0; i < kRowsAtOnce; ++i) {
        const int row = base + i * threads;
        words[i] = Values::Load(ValueRow(layout, payload, row < rows ? row : rows - 1), chunk);
      }
#pragma unroll
      for (int i = 0; i < kRowsAtOnce; ++i) {
        const int row = base + i * threads;
        float value[R::kNumbers];
        Values::Unpack(words[i], value);
#pragma unroll
        for (int c = 0; c < R::kNumbers; ++c) value[c] *= scales[c];
#pragma unroll
        for (int g = 0; g < R::kQueries; ++g) {
          const float weight = row < rows ? memory.scores[g * memory.score_stride + row] : 0.0f;
#pragma unroll
          for (int c = 0; c < R::kNumbers; ++c) sums[g][c] += weight * value[c];
        }
      }
    }
  }

  // The sums of all threads, query by query, to o[g], [queries, D].
  __device__ void Write(const Layout& layout, int queries, const DecodeMemory<R::kQueries>& memory,
                        float* o) const {
    const int dim = layout.head_dim;
#pragma unroll
    for (int g = 0; g < R::kQueries; ++g) {
      if (g >= queries) break;
      __syncthreads();
      if (mine < threads) {
#pragma unroll
        for (int c = 0; c < R::kNumbers; ++c) {
          memory.queries[mine * dim + chunk * R::kNumbers + c] = sums[g][c];
        }
      }
      __syncthreads();
      const float inverse = Inverse(memory.sum[g]);
      for (int c = static_cast<int>(threadIdx.x); c < dim; c += kThreads) {
        float total = 0.0f;
        for (int i = 0; i < threads; ++i) total += memory.queries[i * dim + c];
        o[static_cast<int64_t>(g) * dim + c] = total * inverse;
      }
    }
  }

  int chunks, threads, chunk, mine;
  float sums[R::kQueries][R::kNumbers] = {};
};

template <class R>
__global__ void __launch_bounds__(kThreads, R::kQueries == 4 ? 3 : 2)
    DecodeKernel(const AttendArgs args, const Parts parts, const int lanes) {
  const DecodeMemory<R::kQueries> memory(args.layout, SharedFloats());
  const DecodePart part = OwnPart(args, R::kQueries);
  if (threadIdx.x < R::kQueries) {
    memory.max[threadIdx.x] = MinusInfinity();
    memory.sum[threadIdx.x] = 0.0f;
  }
  ValueSums<R> sums(args.layout);
  PlacedBlock next = {};
  if (part.count > 0) {
    next = part.blocks[0];
    PrefetchBlock(args, next, part.position - next.position);
  }
  for (int b = 0; b < part.count; ++b) {
    const PlacedBlock block = next;
    if (b + 1 < part.count) {
      next = part.blocks[b + 1];
      PrefetchBlock(args, next, part.position - next.position);
    }
    const int offset = part.position - block.position;
    const Sight sight = SightOf(args, block, offset);
    if (KeyRows(sight) == 0) continue;  // as all threads of the block
    const float* scales = Scales(args.layout, block.payload);
    RotateQueries<R>(args, part.q, part.queries, offset, scales, memory.queries);
    __syncthreads();
    ScoreKeys<R>(args.layout, block.payload, KeyRows(sight), part.queries, lanes, memory);
    __syncthreads();
    for (int g = OwnWarp(); g < part.queries; g += kWarps) {
      const float keep = WeighBlock(sight, sight.rows, memory.scores + g * memory.score_stride,
                                    memory.max + g, memory.sum + g);
      if (threadIdx.x % kWarp == 0) memory.keep[g] = keep;
    }
    __syncthreads();
    sums.Add(args.layout, block.payload, sight.rows, memory);
  }
  sums.Write(args.layout, part.queries, memory, PartOutput(args, parts, part));
  FinishPart(args, parts, part, memory.max, memory.sum);
}

template <class R>
const char* LaunchReading(const AttendArgs& args, const Parts& parts, CUstream_st* stream) {
  const int chunks = args.layout.head_dim / R::kNumbers;
  int lanes = 1;
  while (lanes < chunks && lanes < kWarp) lanes *= 2;
  const int64_t shared = DecodeSharedBytes<R::kQueries>(args.layout, R::kNumbers);
  return Launch(DecodeKernel<R>, DecodeGrid(args, parts, R::kQueries), shared, stream, args, parts,
                lanes);
}

// In pairs; four numbers at once of f32 whose rows are aligned for that.
template <Element kElement>
const char* LaunchElement(const AttendArgs& args, const Parts& parts, CUstream_st* stream) {
  if (kElement != Element::kF32 || args.layout.head_dim % 4 != 0) {
    return LaunchReading<Reading<kElement, 2, 4>>(args, parts, stream);
  }
  if (args.group <= 4) return LaunchReading<Reading<Element::kF32, 4, 4>>(args, parts, stream);
  return LaunchReading<Reading<Element::kF32, 4, 8>>(args, parts, stream);
}

}  // namespace

const char* LaunchDecode(const AttendArgs& args, const Parts& parts, CUstream_st* stream) {
  if (IsForTensorDecode(args.layout)) return LaunchTensorDecode(args, parts, stream);
  switch (args.layout.element) {
    case Element::kF32:
      return LaunchElement<Element::kF32>(args, parts, stream);
    case Element::kF16:
      return LaunchElement<Element::kF16>(args, parts, stream);
    case Element::kBF16:
      return LaunchElement<Element::kBF16>(args, parts, stream);
    case Element::kQ8:
      break;
  }
  return LaunchElement<Element::kQ8>(args, parts, stream);
}

}  // namespace cairn::cuda
