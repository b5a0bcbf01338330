#include "index/code_scores.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <vector>

#include "index/code_kernels.h"
#include "index/score_kernels.h"

namespace cairn {
namespace {

struct alignas(64) Line {
  int32_t sums[kTileVectors];
};

// One task's memory.
struct ChunkScratch {
  std::vector<int8_t> split;  // [high and low, rows, padded_dim]
  std::vector<float> mean;    // [dim]
  std::vector<Line> sums;     // [high and low, rows, tiles]
};
thread_local ChunkScratch chunk_scratch;

}  // namespace

CodedSums SumCodes(const CodeStore& store, int64_t chunk, int64_t first, int64_t count,
                   const float* queries, int64_t rows, QueryBits bits) {
  const CodeScale& scale = store.scale(chunk);
  const int64_t padded = store.padded_dim();
  const int64_t first_tile = first / kTileVectors;
  const int64_t tiles = (first + count - 1) / kTileVectors + 1 - first_tile;
  ChunkScratch& scratch = chunk_scratch;
  scratch.split.resize(static_cast<size_t>(2 * kCodedRows * padded));
  scratch.sums.resize(static_cast<size_t>(2 * kCodedRows * tiles));
  CodedSums coded;
  coded.sums = scratch.sums.data()->sums + first % kTileVectors;
  coded.stride = tiles * kTileVectors;
  coded.rows = rows;
  // Products are taken from the chunk's mean, so that what a coarse query leaves out is zero on
  // average. If all vectors are equal that is they, and the sums are those of vectors that are
  // not coded: equal blocks tie wherever they lie.
  scratch.mean.resize(scale.low.size());
  for (size_t d = 0; d < scale.low.size(); ++d) {
    scratch.mean[d] =
        scale.low[d] + scale.mean[d] * std::bit_cast<float>(uint32_t{scale.step[d]} << 16);
  }
  ScanScores(DType::kF32, reinterpret_cast<const std::byte*>(scratch.mean.data()), 1, store.dim(),
             queries, static_cast<int32_t>(rows), coded.offset, 4);
  for (int64_t r = 0; r < rows; ++r) {
    int8_t* high = scratch.split.data() + r * padded;
    int8_t* low = high + rows * padded;
    coded.unit[r] =
        SplitQuery(queries + r * store.dim(), scale.step.data(), store.dim(), padded, high, low);
    const auto upper =
        static_cast<float>(std::inner_product(high, high + store.dim(), scale.mean.begin(), 0));
    const auto lower =
        static_cast<float>(std::inner_product(low, low + store.dim(), scale.mean.begin(), 0));
    const float mean = coded.offset[4 * r];
    coded.coarse_offset[r] = mean - coded.unit[r] * (128.0f * upper);
    coded.offset[4 * r] = bits == QueryBits::kCoarse
                              ? coded.coarse_offset[r]
                              : mean - coded.unit[r] * (128.0f * upper + lower);
  }
  // Searches go from chunk to chunk.
  const uint8_t* ahead = chunk + 1 < store.coded_chunks() ? store.tiles(chunk + 1) : nullptr;
  TileDots({.tiles = store.tiles(chunk) + first_tile * TileBytes(padded),
            .count = tiles,
            .padded_dim = padded,
            .queries = scratch.split.data(),
            .rows = bits == QueryBits::kFine ? 2 * rows : rows,
            .sums = scratch.sums.data()->sums,
            .stride = coded.stride,
            .ahead = ahead});
  return coded;
}

void ScoreChunk(const CodeStore& store, int64_t chunk, int64_t begin, int64_t end,
                const float* queries, int64_t rows, QueryBits bits, float* scores, int64_t stride) {
  const int64_t dim = store.dim();
  const int64_t count = (end - begin) * store.representatives();
  const int64_t first = begin * store.representatives();
  if (chunk == store.coded_chunks()) {
    ScanScores(DType::kF32, reinterpret_cast<const std::byte*>(store.tail() + first * dim), count,
               store.dim(), queries, static_cast<int32_t>(rows), scores, stride);
    return;
  }
  for (int64_t row = 0; row < rows; row += kCodedRows) {
    const int64_t now = std::min(kCodedRows, rows - row);
    const CodedSums coded = SumCodes(store, chunk, first, count, queries + row * dim, now, bits);
    for (int64_t r = 0; r < now; ++r) {
      JoinSums(coded.high(r), bits == QueryBits::kFine ? coded.low(r) : nullptr, count,
               coded.unit[r], coded.offset[4 * r], scores + (row + r) * stride);
    }
  }
}

}  // namespace cairn
