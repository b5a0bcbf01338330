// Attention of many rows: a block of threads takes a tile of queries and goes over the blocks of
// its KV head, keys and values by tiles through shared memory. Scores of a whole block are kept, as
// an earlier block of the grouped softmax is weighed by its own sum. Of f32; of other numbers where
// prefill_tensor.cu lacks the memory.
#include "kernels/cuda/block_softmax.cuh"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/prefill_tile.cuh"
#include "kernels/cuda/rotate.cuh"
#include "kernels/cuda/tile_product.cuh"

namespace cairn::cuda {
namespace {

constexpr int kScoreColumns = kTileKeys / kColumnThreads;

// Shared memory of a block of threads. Strides are odd, so that rows start in different banks.
struct PrefillMemory {
  __host__ __device__ PrefillMemory(const Layout& layout, float* memory)
      : stride(layout.head_dim + 1),
        score_stride(layout.block_rows | 1),
        max(memory),
        sum(max + kTileRows),
        keep(sum + kTileRows),
        scores(keep + kTileRows),
        queries(scores + kTileRows * score_stride),
        tile(queries + kTileRows * stride),
        positions(reinterpret_cast<int*>(tile + kTileKeys * stride)),
        end(tile + kTileKeys * stride + kTileRows) {}

  int stride, score_stride;
  float* max;      // [kTileRows]
  float* sum;      // [kTileRows]
  float* keep;     // [kTileRows]
  float* scores;   // [kTileRows, B], then weights
  float* queries;  // [kTileRows, D], rotated for the block at hand
  float* tile;     // [kTileKeys, D], of keys, then of values
  int* positions;  // [kTileRows]
  float* end;
};

// Rotated by the distance from the block and times scale; zeros for those that stand before it.
__device__ void RotateTile(const AttendArgs& args, const Tile& tile, const PlacedBlock& block,
                           const PrefillMemory& memory) {
  const int dim = args.layout.head_dim;
  const int half = dim / 2;
  for (int i = static_cast<int>(threadIdx.x); i < kTileRows * half; i += kThreads) {
    const int row = i / half;
    const int offset = row < tile.queries ? memory.positions[row] - block.position : -1;
    const Pair pair = PairAt(args.rotation, dim, offset < 0 ? 0 : offset, i % half);
    float a = 0.0f;
    float b = 0.0f;
    if (offset >= 0) {
      const float* q = QueryAt(args, tile, row);
      a = q[pair.first] * args.scale;
      b = q[pair.second] * args.scale;
      RotatePair(pair, &a, &b);
    }
    memory.queries[row * memory.stride + pair.first] = a;
    memory.queries[row * memory.stride + pair.second] = b;
  }
}

// Rows [first, end) of K or V as floats, and zeros up to kTileKeys rows. `scales` is null, or of
// codes.
__device__ void LoadTile(const Layout& layout, const std::byte* rows, const float* scales,
                         int first, int end, const PrefillMemory& memory) {
  const int dim = layout.head_dim;
  for (int i = static_cast<int>(threadIdx.x); i < kTileKeys * dim; i += kThreads) {
    const int row = first + i / dim;
    const int column = i % dim;
    float number = 0.0f;
    if (row < end) {
      number = ReadNumber(layout.element, rows + row * layout.row_bytes, column);
      if (scales != nullptr) number *= scales[column];
    }
    memory.tile[i / dim * memory.stride + column] = number;
  }
}

// Scores of `rows` keys for all queries of the tile.
__device__ void ScoreTile(const AttendArgs& args, const PlacedBlock& block, const float* scales,
                          int rows, const PrefillMemory& memory) {
  const Layout& layout = args.layout;
  for (int first = 0; first < rows; first += kTileKeys) {
    LoadTile(layout, KeyRow(layout, block.payload, 0), scales, first, rows, memory);
    __syncthreads();
    float sums[kOwnRows][kScoreColumns];
    RowProducts<kScoreColumns>(memory.queries, memory.tile, layout.head_dim, memory.stride, sums);
#pragma unroll
    for (int j = 0; j < kScoreColumns; ++j) {
      const int key = first + FirstOwnColumn() + j * kColumnThreads;
      if (key >= rows) continue;
#pragma unroll
      for (int i = 0; i < kOwnRows; ++i) {
        memory.scores[(FirstOwnRow() + i) * memory.score_stride + key] = sums[i][j];
      }
    }
    __syncthreads();
  }
}

// What any query of the tile sees of a block: so many keys and values are read.
__device__ void RowsSeen(const AttendArgs& args, const Tile& tile, const PlacedBlock& block,
                         const PrefillMemory& memory, int* keys, int* values) {
  *keys = 0;
  *values = 0;
  for (int i = 0; i < tile.queries; ++i) {
    const Sight sight = SightOf(args, block, memory.positions[i] - block.position);
    *keys = *keys < KeyRows(sight) ? KeyRows(sight) : *keys;
    *values = *values < sight.rows ? sight.rows : *values;
  }
}

template <int kColumns>
__device__ void AddBlock(const AttendArgs& args, const Tile& tile, const PlacedBlock& block,
                         const PrefillMemory& memory, float (*sums)[kColumns]) {
  const Layout& layout = args.layout;
  int keys, values;
  RowsSeen(args, tile, block, memory, &keys, &values);
  if (keys == 0) return;  // as all threads of the block
  const bool codes = layout.element == Element::kQ8;
  const float* scales = codes ? Scales(layout, block.payload) : nullptr;
  RotateTile(args, tile, block, memory);
  ScoreTile(args, block, scales, keys, memory);
  for (int i = OwnWarp(); i < kTileRows; i += kWarps) {
    const int offset = i < tile.queries ? memory.positions[i] - block.position : -1;
    const float keep =
        WeighBlock(SightOf(args, block, offset), values, memory.scores + i * memory.score_stride,
                   memory.max + i, memory.sum + i);
    if (threadIdx.x % kWarp == 0) memory.keep[i] = keep;
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kOwnRows; ++i) {
#pragma unroll
    for (int j = 0; j < kColumns; ++j) sums[i][j] *= memory.keep[FirstOwnRow() + i];
  }
  if (codes) scales += layout.head_dim;
  for (int first = 0; first < values; first += kTileKeys) {
    LoadTile(layout, ValueRow(layout, block.payload, 0), scales, first, values, memory);
    __syncthreads();
    const int rows = values - first < kTileKeys ? values - first : kTileKeys;
    AddColumnProducts<kColumns>(memory.scores + first, memory.score_stride, memory.tile,
                                memory.stride, rows, layout.head_dim, sums);
    __syncthreads();
  }
}

template <int kColumns>
__device__ void WriteTile(const AttendArgs& args, const Tile& tile, const PrefillMemory& memory,
                          const float (*sums)[kColumns]) {
  const int dim = args.layout.head_dim;
#pragma unroll
  for (int i = 0; i < kOwnRows; ++i) {
    const int own = FirstOwnRow() + i;
    if (own >= tile.queries) continue;
    const float inverse = Inverse(memory.sum[own]);
    float* o = OutputAt(args, tile, own);
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      const int column = FirstOwnColumn() + j * kColumnThreads;
      if (column < dim) o[column] = sums[i][j] * inverse;
    }
    if (FirstOwnColumn() == 0) {
      *LseAt(args, tile, own) = LogSumExp(memory.max[own], memory.sum[own]);
    }
  }
}

// Blocks of threads are [tiles, heads].
template <int kColumns>
__global__ void __launch_bounds__(kThreads, 4) PrefillKernel(const AttendArgs args) {
  const PrefillMemory memory(args.layout, SharedFloats());
  const Tile tile = OwnTile(args);
  if (threadIdx.x < kTileRows) {
    const auto i = static_cast<int>(threadIdx.x);
    memory.max[i] = MinusInfinity();
    memory.sum[i] = 0.0f;
    if (i < tile.queries) memory.positions[i] = PositionOf(args, tile, i);
  }
  __syncthreads();
  float sums[kOwnRows][kColumns] = {};
  const PlacedBlock* blocks = args.blocks + static_cast<int64_t>(tile.head) * args.block_stride;
  const int count = args.block_counts[tile.head];
  for (int b = 0; b < count; ++b) AddBlock<kColumns>(args, tile, blocks[b], memory, sums);
  WriteTile<kColumns>(args, tile, memory, sums);
}

template <int kColumns>
const char* LaunchColumns(const AttendArgs& args, CUstream_st* stream) {
  return Launch(PrefillKernel<kColumns>, TileGrid(args), PrefillSharedBytes(args.layout), stream,
                args);
}

}  // namespace

int64_t MostSharedBytes() {
  int device = 0, bytes = 0;
  if (cudaGetDevice(&device) == cudaSuccess &&
      cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) ==
          cudaSuccess) {
    return bytes;
  }
  (void)cudaGetLastError();  // a launch says it in its own words
  return int64_t{163} << 10;
}

int64_t PrefillSharedBytes(const Layout& layout) {
  const int64_t scores = int64_t{kTileRows} * (layout.block_rows | 1);
  const int64_t rows = int64_t{kTileRows + kTileKeys} * (layout.head_dim + 1);
  return (4 * kTileRows + scores + rows) * 4;
}

const char* LaunchPrefill(const AttendArgs& args, CUstream_st* stream) {
  const int dim = args.layout.head_dim;
  if (dim <= 64) return LaunchColumns<4>(args, stream);
  if (dim <= 96) return LaunchColumns<6>(args, stream);
  if (dim <= 128) return LaunchColumns<8>(args, stream);
  return LaunchColumns<16>(args, stream);
}

}  // namespace cairn::cuda
