// Attention of one row's query group over its blocks on tensor cores, for payloads of 16-bit
// numbers and codes. Products are as in prefill_tensor.cu, with all of the terms, so as exact as
// those of f32.
//
// Keys and values go from global memory into the very registers that the products take them from:
// what a lane reads at once, 8 numbers of a row, are its factors of several products. For that
// dimensions, in scores, and rows, in sums of values, are added up in an order of their own; which
// is which is the same for both factors. Of a tile of 64 rows a warp has 16. Keys of the next tile
// are asked for as soon as those before are scored, values as soon as those before are added.
#include "kernels/cuda/block_walk.cuh"
#include "kernels/cuda/decode_part.cuh"
#include "kernels/cuda/query_terms.cuh"

namespace cairn::cuda {
namespace {

constexpr int kQueries = 8;  // heads of a group: columns of a product
constexpr int kTileRows = kWarps * kMatrix;
constexpr int kWordNumbers = 8;                  // a lane reads at once
constexpr int kKeyColumns = 4 * kWordNumbers;    // 4 lanes have a row of keys,
constexpr int kValueColumns = 8 * kWordNumbers;  // 8 one of values

template <Element kElementValue, int kMostDim>
struct Shape {
  static constexpr Element kElement = kElementValue;
  static constexpr Element kFactor = cairn::cuda::kFactor<kElementValue>;
  static constexpr int kTerms = kMostTerms<kElementValue>;
  static constexpr int kKeyParts = kMostDim / kKeyColumns;
  static constexpr int kValueParts = kMostDim / kValueColumns;
  static constexpr int kHeldParts = kValueParts < 2 ? kValueParts : 2;  // as registers have room
  static constexpr int kQueryPairs = kMostDim / 2 / kWarp;              // of a lane
  static constexpr int kBlocksOfThreads = kMostDim <= 64 ? 4 : kMostDim <= 128 ? 3 : 2;
  using Numbers = Chunk<kElementValue, kWordNumbers>;
};

// Numbers between queries: 16 bytes of 4 lanes and 2 queries are in different banks.
__host__ __device__ constexpr int QueryStride(int dim) { return (dim + 63) / 64 * 64 + 32; }
// Scores of a query: those of 4 lanes and 8 rows are in different banks.
__host__ __device__ constexpr int ScoreStride(int block_rows) { return UpToMatrix(block_rows) + 4; }

// Shared memory of a block of threads.
struct TensorMemory {
  __device__ TensorMemory(const Layout& layout, float* memory)
      : stride(QueryStride(layout.head_dim)),
        score_stride(ScoreStride(layout.block_rows)),
        max(memory),
        sum(max + kQueries),
        keep(sum + kQueries),
        factor(keep + kQueries),
        scores(factor + kQueries),
        queries(reinterpret_cast<uint16_t*>(scores + kQueries * score_stride)),
        sums(scores) {}

  int stride, score_stride;
  float* max;         // [kQueries]
  float* sum;         // [kQueries]
  float* keep;        // [kQueries], what is left of the sums before this block
  float* factor;      // [kQueries], of scores
  float* scores;      // [kQueries, score_stride], then weights
  uint16_t* queries;  // [terms, kQueries, stride], rotated for the block at hand
  float* sums;        // in the end, over scores and queries: [kWarps, kQueries, D]
};

template <class S>
int64_t DecodeSharedBytes(const Layout& layout) {
  const int64_t scores = int64_t{kQueries} * ScoreStride(layout.block_rows) * 4;
  const int64_t queries = int64_t{S::kTerms} * kQueries * QueryStride(layout.head_dim) * 2;
  const int64_t sums = int64_t{kWarps} * kQueries * layout.head_dim * 4;
  return 4 * kQueries * 4 + (scores + queries > sums ? scores + queries : sums);
}

__device__ __forceinline__ int LaneOfFour() { return static_cast<int>(threadIdx.x) % 4; }
// The first of the warp's rows in a tile that begins at row `first`.
__device__ __forceinline__ int OwnRows(int first) { return first + OwnWarp() * kMatrix; }

// A word as pairs of 16-bit numbers.
template <class S>
__device__ __forceinline__ void UnpackPairs(const typename S::Numbers::Word& word,
                                            uint32_t* pairs) {
  if constexpr (S::kElement == Element::kQ8) {
    CodesToHalves(word.x, pairs, pairs + 1);
    CodesToHalves(word.y, pairs + 2, pairs + 3);
  } else {
    pairs[0] = word.x;
    pairs[1] = word.y;
    pairs[2] = word.z;
    pairs[3] = word.w;
  }
}

// Word `index` of row `row`, or of the last of `rows` if there is no such row; of the last of a
// row, if there is no such word: then queries are zeros, and sums of values go nowhere.
template <class S>
__device__ __forceinline__ typename S::Numbers::Word ReadWord(const Layout& layout,
                                                              const std::byte* from, int row,
                                                              int rows, int index) {
  const int words = layout.head_dim / kWordNumbers;
  return S::Numbers::Load(from + (row < rows ? row : rows - 1) * layout.row_bytes,
                          index < words ? index : words - 1);
}

// A lane's keys of a tile: of rows LaneRow() and LaneRow() + 8 of the warp's.
template <class S>
struct Keys {
  typename S::Numbers::Word words[S::kKeyParts][2] = {};

  // Rows from `first` on, of `rows`.
  __device__ __forceinline__ void Ask(const Layout& layout, const std::byte* payload, int first,
                                      int rows) {
    const int row = OwnRows(first);
    if (row >= rows) return;
#pragma unroll
    for (int n = 0; n < S::kKeyParts; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        words[n][i] =
            ReadWord<S>(layout, payload, row + LaneRow() + i * 8, rows, n * 4 + LaneOfFour());
      }
    }
  }

  // Their scores, to memory. Columns of part n that a lane has are rows of b in this order: the
  // first product's c, c + 1, c + 8, c + 9, then the second's.
  __device__ __forceinline__ void Score(const Layout& layout, int first, int rows,
                                        const TensorMemory& memory) const {
    const int row = OwnRows(first);
    if (row >= rows) return;  // as all lanes of the warp
    float sums[2][4] = {};
    const uint16_t* queries =
        memory.queries + LaneRow() * memory.stride + LaneOfFour() * kWordNumbers;
#pragma unroll
    for (int n = 0; n < S::kKeyParts; ++n) {
      if (n * kKeyColumns >= layout.head_dim) break;
      uint32_t lower[4];
      uint32_t upper[4];
      UnpackPairs<S>(words[n][0], lower);
      UnpackPairs<S>(words[n][1], upper);
      const uint32_t a[2][4] = {{lower[0], upper[0], lower[1], upper[1]},
                                {lower[2], upper[2], lower[3], upper[3]}};
#pragma unroll
      for (int term = 0; term < S::kTerms; ++term) {
        const uint4 query = *reinterpret_cast<const uint4*>(
            queries + term * kQueries * memory.stride + n * kKeyColumns);
        const uint32_t b[2][2] = {{query.x, query.y}, {query.z, query.w}};
        MultiplyAdd<S::kFactor>(sums[0], a[0], b[0]);
        MultiplyAdd<S::kFactor>(sums[1], a[1], b[1]);
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int query = LaneColumn() + i % 2;
      memory.scores[query * memory.score_stride + row + LaneRow() + i / 2 * 8] =
          (sums[0][i] + sums[1][i]) * memory.factor[query];
    }
  }
};

// A lane's values of a tile: of 4 rows of the warp's from 4 · LaneOfFour() on, columns 8 ·
// LaneRow() and so on of every 64.
template <class S>
struct Values {
  typename S::Numbers::Word words[S::kHeldParts][4] = {};

  __device__ __forceinline__ void Ask(const Layout& layout, const std::byte* payload, int first,
                                      int rows, int first_part) {
    const int row = OwnRows(first);
    if (row >= rows) return;
#pragma unroll
    for (int n = 0; n < S::kHeldParts; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        words[n][i] = ReadWord<S>(layout, payload + layout.values_at, row + LaneOfFour() * 4 + i,
                                  rows, (first_part + n) * 8 + LaneRow());
      }
    }
  }
};

// Sums of weighted values of the rows that the warp had: those of part n and pair j of a lane's
// columns are [column 2j or 2j + 1, query LaneColumn() or the next], in that order.
template <class S>
struct ValueSums {
  float sums[S::kValueParts][4][4] = {};

  __device__ __forceinline__ void Keep(const TensorMemory& memory) {
    const float keep[2] = {memory.keep[LaneColumn()], memory.keep[LaneColumn() + 1]};
#pragma unroll
    for (int n = 0; n < S::kValueParts; ++n) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[n][j][i] *= keep[i % 2];
      }
    }
  }

  // Of parts kFirst and so on. `scales` are of codes. Rows of a lane are those of a product's a and
  // b in this order: c, c + 1, c + 8, c + 9.
  template <int kFirst>
  __device__ __forceinline__ void Add(const Layout& layout, const Values<S>& values,
                                      const float* scales, int first, int rows,
                                      const TensorMemory& memory) {
    const int row = OwnRows(first);
    if (row >= rows) return;  // as all lanes of the warp
    float weights[4];
    CopyFloats<4>(memory.scores + LaneRow() * memory.score_stride + row + LaneOfFour() * 4,
                  weights);
    uint32_t b[S::kTerms][2];
#pragma unroll
    for (int term = 0; term < S::kTerms; ++term) {
      b[term][0] = TakeTerms<S::kFactor>(weights);
      b[term][1] = TakeTerms<S::kFactor>(weights + 2);
    }
#pragma unroll
    for (int n = 0; n < S::kHeldParts; ++n) {
      const int column = (kFirst + n) * kValueColumns;
      if (column >= layout.head_dim) break;
      uint32_t pairs[4][4];
#pragma unroll
      for (int i = 0; i < 4; ++i) UnpackPairs<S>(values.words[n][i], pairs[i]);
      float own[kWordNumbers];
      if constexpr (S::kElement == Element::kQ8) {
        ReadScales(layout, scales, column + LaneRow() * kWordNumbers, own);
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const uint32_t a[4] = {__byte_perm(pairs[0][j], pairs[1][j], 0x5410),
                               __byte_perm(pairs[0][j], pairs[1][j], 0x7632),
                               __byte_perm(pairs[2][j], pairs[3][j], 0x5410),
                               __byte_perm(pairs[2][j], pairs[3][j], 0x7632)};
        float(*all)[4] = sums[kFirst + n];
        float products[4] = {};
        float* to = S::kElement == Element::kQ8 ? products : all[j];
#pragma unroll
        for (int term = 0; term < S::kTerms; ++term) MultiplyAdd<S::kFactor>(to, a, b[term]);
        if constexpr (S::kElement == Element::kQ8) {
#pragma unroll
          for (int i = 0; i < 4; ++i) all[j][i] += products[i] * own[2 * j + i / 2];
        }
      }
    }
  }

  // Those of all warps, divided by the sums of weights, to o, [queries, D]. By all threads, which
  // are done with scores and queries behind a barrier here.
  __device__ void Write(const Layout& layout, int queries, const TensorMemory& memory,
                        float* o) const {
    const int dim = layout.head_dim;
    __syncthreads();
#pragma unroll
    for (int n = 0; n < S::kValueParts; ++n) {
      const int column = n * kValueColumns + LaneRow() * kWordNumbers;
      if (column >= dim) break;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int query = OwnWarp() * kQueries + LaneColumn() + i % 2;
          memory.sums[query * dim + column + 2 * j + i / 2] = sums[n][j][i];
        }
      }
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < queries * dim; i += kThreads) {
      float total = 0.0f;
      for (int warp = 0; warp < kWarps; ++warp) total += memory.sums[warp * kQueries * dim + i];
      o[i] = total * Inverse(memory.sum[i / dim]);
    }
  }

 private:
  __device__ static void ReadScales(const Layout& layout, const float* scales, int column,
                                    float* own) {
#pragma unroll
    for (int i = 0; i < kWordNumbers; ++i) own[i] = 0.0f;
    if (column < layout.head_dim) CopyFloats<kWordNumbers>(scales + column, own);
  }
};

// No queries and no sums: heads that a group lacks stay so, as columns from D on.
template <class S>
__device__ void Clear(const TensorMemory& memory) {
  if (threadIdx.x < kQueries) {
    memory.max[threadIdx.x] = MinusInfinity();
    memory.sum[threadIdx.x] = 0.0f;
    memory.keep[threadIdx.x] = 0.0f;
    memory.factor[threadIdx.x] = 0.0f;
  }
  const int numbers = S::kTerms * kQueries * memory.stride;
  for (int i = static_cast<int>(threadIdx.x); i < numbers; i += kThreads) memory.queries[i] = 0;
}

template <class S>
__device__ void RotateQueries(const AttendArgs& args, const DecodePart& part,
                              const PlacedBlock& block, const TensorMemory& memory) {
  for (int g = OwnWarp(); g < part.queries; g += kWarps) {
    const float factor = RotateIntoTerms<S::kElement, S::kQueryPairs>(
        args, part.q + static_cast<int64_t>(g) * args.layout.head_dim,
        part.position - block.position, Scales(args.layout, block.payload), S::kTerms,
        memory.queries + g * memory.stride, kQueries * memory.stride);
    if (threadIdx.x % kWarp == 0) memory.factor[g] = factor;
  }
}

// Scores to weights, zeros up to a multiple of 16, what products take.
__device__ __forceinline__ void Weigh(const Sight& sight, int queries, const TensorMemory& memory) {
  for (int g = OwnWarp(); g < queries; g += kWarps) {
    const float keep =
        WeighBlock(sight, UpToMatrix(sight.rows), memory.scores + g * memory.score_stride,
                   memory.max + g, memory.sum + g);
    if (threadIdx.x % kWarp == 0) memory.keep[g] = keep;
  }
}

template <class S>
__global__ void __launch_bounds__(kThreads, S::kBlocksOfThreads)
    TensorDecodeKernel(const AttendArgs args, const Parts parts) {
  const TensorMemory memory(args.layout, SharedFloats());
  const DecodePart part = OwnPart(args, kQueries);
  BlockWalk walk(part.blocks, part.count);
  SeenBlock seen = walk.Next(args, part.position);
  Keys<S> keys;
  Values<S> values;
  ValueSums<S> sums;
  keys.Ask(args.layout, seen.block.payload, 0, KeyRows(seen.sight));
  values.Ask(args.layout, seen.block.payload, 0, seen.sight.rows, 0);
  Clear<S>(memory);
  __syncthreads();
  while (KeyRows(seen.sight) > 0) {  // as all threads of the block
    const std::byte* payload = seen.block.payload;
    const int key_rows = KeyRows(seen.sight);
    const int rows = seen.sight.rows;
    RotateQueries<S>(args, part, seen.block, memory);
    __syncthreads();
    SeenBlock next = {};
    for (int first = 0; first < key_rows; first += kTileRows) {
      keys.Score(args.layout, first, key_rows, memory);
      const bool more = first + kTileRows < key_rows;
      if (!more) next = walk.Next(args, part.position);
      keys.Ask(args.layout, more ? payload : next.block.payload, more ? first + kTileRows : 0,
               more ? key_rows : KeyRows(next.sight));
    }
    __syncthreads();
    Weigh(seen.sight, part.queries, memory);
    __syncthreads();
    sums.Keep(memory);
    const float* scales = Scales(args.layout, payload) + args.layout.head_dim;
    int first = 0;
    do {  // there is a tile even of no values
      if constexpr (S::kHeldParts < S::kValueParts) {
        static_assert(S::kValueParts == 2 * S::kHeldParts);
        sums.template Add<0>(args.layout, values, scales, first, rows, memory);
        values.Ask(args.layout, payload, first, rows, S::kHeldParts);
      }
      sums.template Add<S::kValueParts - S::kHeldParts>(args.layout, values, scales, first, rows,
                                                        memory);
      first += kTileRows;
      const bool more = first < rows;
      values.Ask(args.layout, more ? payload : next.block.payload, more ? first : 0,
                 more ? rows : next.sight.rows, 0);
    } while (first < rows);
    seen = next;
  }
  sums.Write(args.layout, part.queries, memory, PartOutput(args, parts, part));
  FinishPart(args, parts, part, memory.max, memory.sum);
}

template <class S>
const char* LaunchShape(const AttendArgs& args, const Parts& parts, CUstream_st* stream) {
  return Launch(TensorDecodeKernel<S>, DecodeGrid(args, parts, kQueries),
                DecodeSharedBytes<S>(args.layout), stream, args, parts);
}

template <Element kElement>
const char* LaunchElement(const AttendArgs& args, const Parts& parts, CUstream_st* stream) {
  const int dim = args.layout.head_dim;
  if (dim <= 64) return LaunchShape<Shape<kElement, 64>>(args, parts, stream);
  if (dim <= 128) return LaunchShape<Shape<kElement, 128>>(args, parts, stream);
  return LaunchShape<Shape<kElement, 256>>(args, parts, stream);
}

}  // namespace

const char* LaunchTensorDecode(const AttendArgs& args, const Parts& parts, CUstream_st* stream) {
  switch (args.layout.element) {
    case Element::kF16:
      return LaunchElement<Element::kF16>(args, parts, stream);
    case Element::kBF16:
      return LaunchElement<Element::kBF16>(args, parts, stream);
    case Element::kF32:
    case Element::kQ8:
      break;
  }
  return LaunchElement<Element::kQ8>(args, parts, stream);
}

}  // namespace cairn::cuda
