// Attention of many rows on tensor cores, for payloads of 16-bit numbers and codes: as prefill.cu,
// with products of 16-bit numbers summed in f32. Keys and values are those numbers already (codes
// are whole numbers that f16 has; K's scales go into queries, V's into what the products add).
// Queries and weights are sums of `terms` such numbers: with 2 of f16 or 3 of bf16 as exact as f32.
//
// Two warps have 16 queries: one the first half of a tile's keys, the other the rest, and every
// other 16 columns of the output.
#include "kernels/cuda/block_softmax.cuh"
#include "kernels/cuda/prefill_tile.cuh"
#include "kernels/cuda/query_terms.cuh"
#include "kernels/cuda/tile_stream.cuh"

namespace cairn::cuda {
namespace {

static_assert(kTileRows == kWarps / 2 * kMatrix);

// Scores of a row: a pair of columns of 4 rows and 4 lanes is in different banks.
__host__ __device__ constexpr int ScoreStride(int block_rows) { return UpToMatrix(block_rows) + 8; }

// Shared memory of a block of threads.
struct TensorMemory {
  __device__ TensorMemory(const Layout& layout, int terms, int keys, float* memory)
      : stride(NumberStride(layout.head_dim)),
        score_stride(ScoreStride(layout.block_rows)),
        max(memory),
        sum(max + kTileRows),
        keep(sum + kTileRows),
        factor(keep + kTileRows),
        positions(reinterpret_cast<int*>(factor + kTileRows)),
        scores(factor + 2 * kTileRows),
        queries(reinterpret_cast<uint16_t*>(scores + kTileRows * score_stride)),
        tiles(queries + terms * kTileRows * stride),
        codes(reinterpret_cast<std::byte*>(tiles + 2 * keys * stride)) {}

  int stride, score_stride;
  float* max;         // [kTileRows]
  float* sum;         // [kTileRows]
  float* keep;        // [kTileRows]
  float* factor;      // [kTileRows], of scores
  int* positions;     // [kTileRows]
  float* scores;      // [kTileRows, score_stride], then weights
  uint16_t* queries;  // [terms, kTileRows, stride], rotated for the block at hand
  uint16_t* tiles;    // [2, keys, stride]
  std::byte* codes;   // [keys, D]
};

template <Element kElementValue, int kKeysValue, int kPairsValue>
struct Shape {
  static constexpr Element kElement = kElementValue;
  static constexpr Element kFactor = cairn::cuda::kFactor<kElementValue>;
  static constexpr int kKeys = kKeysValue;    // of a tile
  static constexpr int kPairs = kPairsValue;  // of 16 columns that a warp has
  static constexpr int kTerms = kMostTerms<kElementValue>;
  static constexpr int kSteps = kKeys / kMatrix;
  static constexpr int kQueryPairs = (kPairs + 1) / 2;  // of a lane
};

__device__ __forceinline__ int FirstRow() { return OwnWarp() / 2 * kMatrix; }  // of the warp's 16
__device__ __forceinline__ int OwnHalf() { return OwnWarp() % 2; }

// The queries as this block's keys want them; zeros for those that stand before it.
template <class S>
__device__ void RotateTile(const AttendArgs& args, const Tile& tile, const PlacedBlock& block,
                           const TensorMemory& memory) {
  const float* scales = Scales(args.layout, block.payload);
  for (int row = OwnWarp(); row < kTileRows; row += kWarps) {
    const int offset = row < tile.queries ? memory.positions[row] - block.position : -1;
    const float factor = RotateIntoTerms<S::kElement, S::kQueryPairs>(
        args, QueryAt(args, tile, row < tile.queries ? row : 0), offset, scales, args.terms,
        memory.queries + row * memory.stride, kTileRows * memory.stride);
    if (threadIdx.x % kWarp == 0) memory.factor[row] = factor;
  }
}

// Scores of `rows` keys, which are `first` and those that follow in their block.
template <class S>
__device__ void ScoreTile(const AttendArgs& args, const TensorMemory& memory, const uint16_t* tile,
                          int first, int rows) {
  constexpr int kOwn = S::kKeys / 2;
  constexpr int kPairs = kOwn / kMatrix;
  const int key = OwnHalf() * kOwn;
  if (key >= rows) return;  // as all lanes of the warp
  float sums[2 * kPairs][4] = {};
  for (int c = 0; c < UpToMatrix(args.layout.head_dim); c += kMatrix) {
    uint32_t b[kPairs][4];
#pragma unroll
    for (int n = 0; n < kPairs; ++n) {
      LoadRowsAsColumns(tile + (key + n * kMatrix) * memory.stride + c, memory.stride, b[n]);
    }
    for (int term = 0; term < args.terms; ++term) {
      uint32_t a[4];
      LoadRows(memory.queries + (term * kTileRows + FirstRow()) * memory.stride + c, memory.stride,
               a);
#pragma unroll
      for (int n = 0; n < 2 * kPairs; ++n) {
        MultiplyAdd<S::kFactor>(sums[n], a, b[n / 2] + n % 2 * 2);
      }
    }
  }
  const int row = FirstRow() + LaneRow();
  float* scores = memory.scores + row * memory.score_stride + first + key + LaneColumn();
#pragma unroll
  for (int n = 0; n < 2 * kPairs; ++n) {
    if (key + n * 8 >= rows) break;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      scores[i / 2 * 8 * memory.score_stride + n * 8 + i % 2] =
          sums[n][i] * memory.factor[row + i / 2 * 8];
    }
  }
}

// sums += weights of the values [first, first + rows) · `tile`. `scales` are of codes.
template <class S>
__device__ void AddTile(const AttendArgs& args, const TensorMemory& memory, const uint16_t* tile,
                        const float* scales, int first, int rows, float (*sums)[4]) {
  uint32_t a[S::kTerms][S::kSteps][4];
  const float* weights =
      memory.scores + (FirstRow() + LaneRow()) * memory.score_stride + first + LaneColumn();
#pragma unroll
  for (int step = 0; step < S::kSteps; ++step) {
    if (step * kMatrix >= rows) break;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float* from = weights + i % 2 * 8 * memory.score_stride + step * kMatrix + i / 2 * 8;
      float pair[2];
      pair[0] = from[0];
      pair[1] = from[1];
#pragma unroll
      for (int term = 0; term < S::kTerms; ++term) {
        a[term][step][i] = TakeTerms<S::kFactor>(pair);
      }
    }
  }
#pragma unroll
  for (int n = 0; n < S::kPairs; ++n) {
    const int column = (2 * n + OwnHalf()) * kMatrix;
    if (column >= args.layout.head_dim) break;
    float products[2][4] = {};
    float(*to)[4] = S::kElement == Element::kQ8 ? products : sums + 2 * n;
#pragma unroll
    for (int step = 0; step < S::kSteps; ++step) {
      if (step * kMatrix >= rows) break;
      uint32_t b[4];
      LoadColumns(tile + step * kMatrix * memory.stride + column, memory.stride, b);
#pragma unroll
      for (int term = 0; term < S::kTerms; ++term) {
        if (term >= args.terms) break;
        MultiplyAdd<S::kFactor>(to[0], a[term][step], b);
        MultiplyAdd<S::kFactor>(to[1], a[term][step], b + 2);
      }
    }
    if constexpr (S::kElement == Element::kQ8) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int at = column + i / 4 * 8 + LaneColumn() + i % 2;
        if (at < args.layout.head_dim)
          sums[2 * n + i / 4][i % 4] += products[i / 4][i % 4] * scales[at];
      }
    }
  }
}

template <class S>
__device__ void WeighTile(const AttendArgs& args, const Tile& tile, const PlacedBlock& block,
                          const TensorMemory& memory, int values) {
  for (int row = OwnWarp(); row < kTileRows; row += kWarps) {
    const int offset = row < tile.queries ? memory.positions[row] - block.position : -1;
    const float keep =
        WeighBlock(SightOf(args, block, offset), UpToMatrix(values),
                   memory.scores + row * memory.score_stride, memory.max + row, memory.sum + row);
    if (threadIdx.x % kWarp == 0) memory.keep[row] = keep;
  }
}

// A block of which `sight` is what the queries see of it.
template <class S>
__device__ void AddBlock(const AttendArgs& args, const Tile& tile, const PlacedBlock& block,
                         const Sight& sight, const TensorMemory& memory,
                         TileStream<S::kElement, S::kKeys>* stream, float (*sums)[4]) {
  RotateTile<S>(args, tile, block, memory);
  const int keys = KeyRows(sight);
  for (int first = 0; first < keys; first += S::kKeys) {
    ScoreTile<S>(args, memory, stream->Take(), first, keys - first);
  }
  __syncthreads();
  WeighTile<S>(args, tile, block, memory, sight.rows);
  const float* scales = Scales(args.layout, block.payload) + args.layout.head_dim;
  int first = 0;
  do {  // there is a tile even of no values
    const uint16_t* values = stream->Take();
    if (first == 0) {
#pragma unroll
      for (int n = 0; n < 2 * S::kPairs; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[n][i] *= memory.keep[FirstRow() + LaneRow() + i / 2 * 8];
      }
    }
    AddTile<S>(args, memory, values, scales, first, sight.rows - first, sums);
    first += S::kKeys;
  } while (first < sight.rows);
}

template <class S>
__device__ void WriteTile(const AttendArgs& args, const Tile& tile, const TensorMemory& memory,
                          const float (*sums)[4]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int own = FirstRow() + LaneRow() + i * 8;
    if (own >= tile.queries) continue;
    const float inverse = Inverse(memory.sum[own]);
    float* o = OutputAt(args, tile, own);
#pragma unroll
    for (int n = 0; n < 2 * S::kPairs; ++n) {
      const int column = (n / 2 * 2 + OwnHalf()) * kMatrix + n % 2 * 8 + LaneColumn();
      if (column >= args.layout.head_dim) break;
      o[column] = sums[n][2 * i] * inverse;
      o[column + 1] = sums[n][2 * i + 1] * inverse;
    }
    if (OwnHalf() == 0 && LaneColumn() == 0) {
      *LseAt(args, tile, own) = LogSumExp(memory.max[own], memory.sum[own]);
    }
  }
}

// What products read and nothing else writes: columns from D on.
__device__ void ZeroColumns(const Layout& layout, const TensorMemory& memory, int rows) {
  const int columns = UpToMatrix(layout.head_dim) - layout.head_dim;
  for (int i = static_cast<int>(threadIdx.x); i < rows * columns; i += kThreads) {
    memory.queries[i / columns * memory.stride + layout.head_dim + i % columns] = 0;
  }
}

// Blocks of threads are [tiles, heads].
template <class S>
__global__ void __launch_bounds__(kThreads, S::kPairs == 8 ? 2 : 3)
    TensorKernel(const AttendArgs args) {
  const TensorMemory memory(args.layout, args.terms, S::kKeys, SharedFloats());
  const Tile tile = OwnTile(args);
  if (threadIdx.x < kTileRows) {
    const auto i = static_cast<int>(threadIdx.x);
    memory.max[i] = MinusInfinity();
    memory.sum[i] = 0.0f;
    memory.positions[i] = PositionOf(args, tile, i < tile.queries ? i : 0);
  }
  ZeroColumns(args.layout, memory, args.terms * kTileRows + 2 * S::kKeys);
  __syncthreads();
  int highest = memory.positions[0];
  for (int i = 1; i < kTileRows; ++i) {
    highest = highest < memory.positions[i] ? memory.positions[i] : highest;
  }
  TileStream<S::kElement, S::kKeys> stream(args, tile.head, highest, memory.tiles, memory.codes);
  float sums[2 * S::kPairs][4] = {};
  const PlacedBlock* blocks = args.blocks + static_cast<int64_t>(tile.head) * args.block_stride;
  const int count = args.block_counts[tile.head];
  for (int b = 0; b < count; ++b) {
    const PlacedBlock block = blocks[b];
    const Sight sight = SightOf(args, block, highest - block.position);
    if (KeyRows(sight) > 0) AddBlock<S>(args, tile, block, sight, memory, &stream, sums);
  }
  WriteTile<S>(args, tile, memory, sums);
}

int TileKeys(const Layout& layout) { return layout.head_dim <= 128 ? 64 : 32; }

template <Element kElement>
const char* LaunchElement(const AttendArgs& args, CUstream_st* stream) {
  const int dim = args.layout.head_dim;
  const dim3 grid = TileGrid(args);
  const int64_t shared = TensorSharedBytes(args.layout, args.terms);
  if (dim <= 64) return Launch(TensorKernel<Shape<kElement, 64, 2>>, grid, shared, stream, args);
  if (dim <= 128) return Launch(TensorKernel<Shape<kElement, 64, 4>>, grid, shared, stream, args);
  return Launch(TensorKernel<Shape<kElement, 32, 8>>, grid, shared, stream, args);
}

}  // namespace

int64_t TensorSharedBytes(const Layout& layout, int32_t terms) {
  const int64_t keys = TileKeys(layout);
  const int64_t scores = int64_t{kTileRows} * (5 + ScoreStride(layout.block_rows)) * 4;
  const int64_t numbers = (terms * kTileRows + 2 * keys) * NumberStride(layout.head_dim) * 2;
  const bool has_codes = layout.element == Element::kQ8 && HasCopies(layout);
  return scores + numbers + (has_codes ? keys * layout.row_bytes : 0);
}

const char* LaunchTensorPrefill(const AttendArgs& args, CUstream_st* stream) {
  switch (args.layout.element) {
    case Element::kF16:
      return LaunchElement<Element::kF16>(args, stream);
    case Element::kBF16:
      return LaunchElement<Element::kBF16>(args, stream);
    case Element::kF32:
    case Element::kQ8:
      break;
  }
  return LaunchElement<Element::kQ8>(args, stream);
}

}  // namespace cairn::cuda
