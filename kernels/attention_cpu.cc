// Attend for CPUs: picks the instruction set at run time and the shape of the work by the number
// of queries, then goes block by block.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/attention.h"
#include "kernels/attention_scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#if HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
#include "kernels/attention_decode-inl.h"
#include "kernels/attention_pairs-inl.h"
#include "kernels/attention_tile-inl.h"
#endif

HWY_BEFORE_NAMESPACE();
namespace cairn {
namespace HWY_NAMESPACE {

const char* Target() { return hwy::TargetName(HWY_TARGET); }

#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128

void AttendOn(const AttendParams& params, float*) { AttendReference(params); }
bool HasPairs() { return false; }

#else

// The first block with rows, which any query that sees anything sees; null if there is none.
const BlockRef* FirstBlock(const AttendParams& params) {
  for (const BlockRef& block : params.blocks) {
    if (block.rows > 0) return &block;
  }
  return nullptr;
}

void CheckBlock(const AttendParams& params, const BlockRef& block, int32_t last_position) {
  const int32_t distance = last_position - block.position;
  CAIRN_CHECK(block.rows <= params.shape.block_rows && distance < params.rope->positions());
  // An earlier block of grouped mode is complete.
  CAIRN_CHECK(params.mode == SoftmaxMode::kPlain || distance < params.shape.block_rows ||
              block.rows == params.shape.block_rows);
}

bool HasPairs() { return kHavePairs; }

// Whether products are of pairs of bf16 numbers.
bool UsesPairs(const AttendParams& params) {
  return params.bf16 && params.shape.dtype != DType::kF32 && params.shape.head_dim % kLanes == 0 &&
         AttendHasBf16();
}

template <int kCount>
void AddBlockToVectors(const AttendParams& params, const BlockRef& block, const FloatBlock& rows,
                       const Tile& tile, bool pairs, float* scores) {
  if (pairs) {
    TileBlock<kCount, PairProducts>(params, block, rows, tile, scores);
  } else {
    TileBlock<kCount, Products>(params, block, rows, tile, scores);
  }
}

void AddBlockToTile(const AttendParams& params, const BlockRef& block, const FloatBlock& rows,
                    const Tile& tile, bool pairs, float* scores) {
  switch (tile.facts[kVectors]) {
    case 1:
      return AddBlockToVectors<1>(params, block, rows, tile, pairs, scores);
    case 2:
      return AddBlockToVectors<2>(params, block, rows, tile, pairs, scores);
    default:
      return AddBlockToVectors<3>(params, block, rows, tile, pairs, scores);
  }
}

FloatBlock LoadBlockOfType(const AttendParams& params, const BlockRef& block, int32_t distance,
                           const ScratchSizes& sizes, const BlockBuffers& buffers) {
  const int64_t dim = sizes.padded_dim;
  const int64_t rows = sizes.padded_rows;
  switch (params.shape.dtype) {
    case DType::kF32:
      return LoadBlock<float>(params, block, distance, dim, rows, buffers);
    case DType::kF16:
      return LoadBlock<hwy::float16_t>(params, block, distance, dim, rows, buffers);
    case DType::kQ8:
      return LoadBlock<int8_t>(params, block, distance, dim, rows, buffers);
    case DType::kBF16:
      break;
  }
  return LoadBlock<hwy::bfloat16_t>(params, block, distance, dim, rows, buffers);
}

// Queries [first, first + count) of the call, count ≤ sizes.pass_lanes.
void AttendPass(const AttendParams& params, const ScratchSizes& sizes, int64_t first, int64_t count,
                float* scratch) {
  const BlockBuffers buffers{scratch, scratch + sizes.row, scratch + sizes.row + sizes.keys};
  float* scores = buffers.values + sizes.values;
  float* states = scores + sizes.scores;
  const int64_t tile_floats = sizes.LaneFloats() * kTileLanes;
  const int64_t tiles = (count + kTileLanes - 1) / kTileLanes;
  const BlockRef* first_block = FirstBlock(params);
  const int32_t base =
      first_block == nullptr ? hwy::HighestValue<int32_t>() : first_block->position;
  const bool pairs = UsesPairs(params);
  int32_t last_position = kNowhere;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t at = i * kTileLanes;
    const Tile tile =
        MakeTile(params, sizes, first + at, static_cast<int32_t>(HWY_MIN(count - at, kTileLanes)),
                 base, buffers.row, states + i * tile_floats);
    last_position = HWY_MAX(last_position, tile.facts[kHighest]);
    if (pairs) PairRows(tile.query, sizes.dim, kTileLanes, tile.facts[kVectors]);
  }
  for (size_t b = 0; b < params.blocks.size(); ++b) {
    const BlockRef& block = params.blocks[b];
    if (block.rows == 0 || block.position > last_position) continue;
    CheckBlock(params, block, last_position);
    const FloatBlock rows = LoadBlockOfType(params, block, block.position - base, sizes, buffers);
    if (pairs) {
      PairNumbers(buffers.keys, sizes.padded_rows * sizes.dim);
      PairRows(buffers.values, ReadRows(params, block), rows.value_stride, sizes.dim / kLanes);
    }
    for (int64_t i = 0; i < tiles; ++i) {
      const Tile tile = TileAt(sizes, states + i * tile_floats);
      if (tile.facts[kHighest] >= block.position) {
        AddBlockToTile(params, block, rows, tile, pairs, scores);
      }
    }
  }
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t at = i * kTileLanes;
    WriteTile(params, sizes, TileAt(sizes, states + i * tile_floats), first + at,
              static_cast<int32_t>(HWY_MIN(count - at, kTileLanes)));
  }
}

void AddBlockToFew(const AttendParams& params, const BlockRef& block, const std::byte* next,
                   int queries, const int32_t* offsets, FewQueries* few) {
  switch (params.shape.dtype) {
    case DType::kF32:
      return FewBlock<float>(params, block, next, queries, offsets, few);
    case DType::kF16:
      return FewBlock<hwy::float16_t>(params, block, next, queries, offsets, few);
    case DType::kBF16:
      return FewBlock<hwy::bfloat16_t>(params, block, next, queries, offsets, few);
    case DType::kQ8:
      return FewBlock<int8_t>(params, block, next, queries, offsets, few);
  }
}

// All queries of the call, at most kFewQueries.
void AttendFew(const AttendParams& params, const ScratchSizes& sizes, float* scratch) {
  const int64_t dim = sizes.dim;
  const int32_t queries = params.rows * params.group;
  FewQueries few;
  few.score_stride = RoundUp(sizes.padded_rows, kLanes);
  few.rotated = scratch;
  few.acc = few.rotated + queries * dim;
  few.scores = few.acc + queries * dim;
  for (int32_t q = 0; q < queries; ++q) {
    few.max[q] = -HUGE_VALF;
    few.sum[q] = 0.0f;
    for (int64_t c = 0; c < dim; ++c) few.acc[q * dim + c] = 0.0f;
  }
  for (size_t b = 0; b < params.blocks.size(); ++b) {
    const BlockRef& block = params.blocks[b];
    if (block.rows == 0) continue;
    int32_t offsets[kFewQueries];
    bool seen = false;
    for (int32_t q = 0; q < queries; ++q) {
      const int32_t t = q / params.group;
      offsets[q] = params.q_positions[t] - block.position;
      // A query that sees nothing of the block is still scored, at any angle, and masked.
      const int32_t distance = offsets[q] < 0 ? 0 : offsets[q];
      CheckBlock(params, block, params.q_positions[t]);
      RotateScaled(*params.rope, distance, params.scale,
                   params.q + t * params.q_row_stride + q % params.group * dim,
                   few.rotated + q * dim);
      seen = seen || offsets[q] >= 0;
    }
    const std::byte* next = b + 1 < params.blocks.size() ? params.blocks[b + 1].payload : nullptr;
    if (seen) AddBlockToFew(params, block, next, queries, offsets, &few);
  }
  for (int32_t q = 0; q < queries; ++q) {
    const int32_t t = q / params.group;
    float* o = params.o + t * params.o_row_stride + q % params.group * dim;
    const float inverse = few.sum[q] > 0.0f ? 1.0f / few.sum[q] : 0.0f;
    for (int64_t c = 0; c < dim; ++c) o[c] = few.acc[q * dim + c] * inverse;
    params.lse[q] = few.sum[q] > 0.0f ? few.max[q] + std::log(few.sum[q]) : -HUGE_VALF;
  }
}

void AttendOn(const AttendParams& params, float* scratch) {
  const ScratchSizes sizes(params);
  const int64_t queries = int64_t{params.rows} * params.group;
  if (queries <= kFewQueries && sizes.dim % kLanes == 0) {
    AttendFew(params, sizes, scratch);
    return;
  }
  for (int64_t first = 0; first < queries; first += sizes.pass_lanes) {
    AttendPass(params, sizes, first, HWY_MIN(sizes.pass_lanes, queries - first), scratch);
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace cairn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn {

HWY_EXPORT(AttendOn);
HWY_EXPORT(Target);
HWY_EXPORT(HasPairs);

bool AttendHasBf16() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx512bf16") != 0;
  return has && HWY_DYNAMIC_DISPATCH(HasPairs)();
#else
  return false;
#endif
}

size_t AttendScratchFloats(const AttendParams& params) {
  return static_cast<size_t>(ScratchSizes(params).Total());
}

void Attend(const AttendParams& params, float* scratch) {
  CAIRN_CHECK(params.shape.head_dim % 2 == 0 && params.rope->head_dim() == params.shape.head_dim);
  CAIRN_CHECK(params.rope->positions() > 0);
  if (params.rows > 0) HWY_DYNAMIC_DISPATCH(AttendOn)(params, scratch);
}

const char* AttendTarget() { return HWY_DYNAMIC_DISPATCH(Target)(); }

}  // namespace cairn
#endif
