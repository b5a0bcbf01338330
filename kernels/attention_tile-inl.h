// Attention of a tile of queries over one block: lanes of vectors run along the queries, so that
// maxima, exponentials and sums need no horizontal steps. Works for every even D.

// Per-target include guard.
#if defined(CAIRN_KERNELS_ATTENTION_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CAIRN_KERNELS_ATTENTION_TILE_INL_H_
#undef CAIRN_KERNELS_ATTENTION_TILE_INL_H_
#else
#define CAIRN_KERNELS_ATTENTION_TILE_INL_H_
#endif

#include <cstdint>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "kernels/attention_block-inl.h"
#include "kernels/attention_scratch.h"

HWY_BEFORE_NAMESPACE();
namespace cairn {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DI = hn::RebindToSigned<DF>;
using VI = hn::Vec<DI>;
inline constexpr int32_t kTileLanes = kTileVectors * kLanes;
// Rows or columns of a product kept in registers, times kTileVectors vectors of lanes.
inline constexpr int32_t kRegisterRows = kLanes >= 16 ? 8 : 4;
static_assert(kMaxTileLanes % kTileLanes == 0 && kRowPadding % kRegisterRows == 0);

// No position is this low, and differences with any position fit.
inline constexpr int32_t kNowhere = -(1 << 30);

// The state of one tile. Rows of kTileLanes numbers, one per lane.
struct Tile {
  float* query;       // [D], scaled, rotated, half-split
  float* acc;         // [padded D], values gathered so far, not normalised
  float* max;         // of the scores so far, −inf if none
  float* sum;         // of exp(score − max)
  int32_t* position;  // kNowhere in lanes that hold no query
  int32_t* facts;     // the tile's numbers at the indices below
};
enum TileFact { kLowest, kHighest, kVectors };  // positions of its queries; vectors in use

// How one lane's sums change by one block: acc = acc · keep + weight · (values of the block).
struct BlockWeights {
  HWY_ALIGN float keep[kMaxTileLanes];
  HWY_ALIGN float weight[kMaxTileLanes];
};

// What a lane of 32 bits holds, and how two vectors of them are multiplied: a number here, a pair
// in attention_pairs-inl.h.
struct Products {
  static constexpr int32_t kNumbers = 1;
  static HWY_INLINE VF Add(VF sum, VF a, VF b) { return hn::MulAdd(a, b, sum); }
  // Makes rows of numbers [rows, stride] rows of lanes.
  static HWY_INLINE void Join(float*, int64_t, int64_t, int64_t) {}
};

// scores[r][lane] = Σ_c keys[r][c] · query[c][lane] for kRegisterRows rows.
template <int kCount, class Product>
HWY_INLINE void ScoreRows(const float* HWY_RESTRICT keys, int64_t dim,
                          const float* HWY_RESTRICT query, float* HWY_RESTRICT scores) {
  const DF d;
  VF sum[kRegisterRows][kCount];
  HWY_UNROLL(8) for (int r = 0; r < kRegisterRows; ++r) {
    HWY_UNROLL(3) for (int v = 0; v < kCount; ++v) sum[r][v] = hn::Zero(d);
  }
  for (int64_t c = 0; c < dim; ++c) {
    VF q[kCount];
    HWY_UNROLL(3)
    for (int v = 0; v < kCount; ++v) q[v] = hn::Load(d, query + c * kTileLanes + v * kLanes);
    HWY_UNROLL(8) for (int r = 0; r < kRegisterRows; ++r) {
      const VF key = hn::Set(d, keys[r * dim + c]);
      HWY_UNROLL(3)
      for (int v = 0; v < kCount; ++v) sum[r][v] = Product::Add(sum[r][v], key, q[v]);
    }
  }
  HWY_UNROLL(8) for (int r = 0; r < kRegisterRows; ++r) {
    HWY_UNROLL(3) for (int v = 0; v < kCount; ++v) {
      hn::Store(sum[r][v], d, scores + r * kTileLanes + v * kLanes);
    }
  }
}

// acc[c][lane] = acc[c][lane] · keep[lane] + weight[lane] · Σ_t values[t][c] · scores[t][lane] for
// kRegisterRows columns c.
template <int kCount, class Product>
HWY_INLINE void AddColumns(const float* HWY_RESTRICT values, int64_t value_stride, int32_t rows,
                           const float* HWY_RESTRICT scores, const BlockWeights& weights,
                           float* HWY_RESTRICT acc) {
  const DF d;
  VF sum[kRegisterRows][kCount];
  HWY_UNROLL(8) for (int c = 0; c < kRegisterRows; ++c) {
    HWY_UNROLL(3) for (int v = 0; v < kCount; ++v) sum[c][v] = hn::Zero(d);
  }
  for (int64_t t = 0; t < rows; ++t) {
    VF p[kCount];
    HWY_UNROLL(3)
    for (int v = 0; v < kCount; ++v) p[v] = hn::Load(d, scores + t * kTileLanes + v * kLanes);
    HWY_UNROLL(8) for (int c = 0; c < kRegisterRows; ++c) {
      const VF value = hn::Set(d, values[t * value_stride + c]);
      HWY_UNROLL(3)
      for (int v = 0; v < kCount; ++v) sum[c][v] = Product::Add(sum[c][v], value, p[v]);
    }
  }
  HWY_UNROLL(3) for (int v = 0; v < kCount; ++v) {
    const VF keep = hn::Load(d, weights.keep + v * kLanes);
    const VF weight = hn::Load(d, weights.weight + v * kLanes);
    HWY_UNROLL(8) for (int c = 0; c < kRegisterRows; ++c) {
      float* at = acc + c * kTileLanes + v * kLanes;
      hn::Store(hn::MulAdd(sum[c][v], weight, hn::Mul(hn::Load(d, at), keep)), d, at);
    }
  }
}

// One vector of lanes: scores[0, rows) become exp(score − max), invisible ones 0; returns max (−inf
// if nothing is visible) and the sum. Row t is visible to a lane if t ≤ its offset.
template <bool kMasked>
HWY_INLINE void ExpRows(int32_t rows, VI offset, float* HWY_RESTRICT scores, VF* max, VF* sum) {
  const DF d;
  const DI di;
  const VF empty = hn::Set(d, -HUGE_VALF);
  VF top = empty;
  for (int32_t t = 0; t < rows; ++t) {
    VF s = hn::Load(d, scores + t * kTileLanes);
    if constexpr (kMasked) {
      const auto hidden = hn::RebindMask(d, hn::Gt(hn::Set(di, t), offset));
      s = hn::IfThenElse(hidden, empty, s);
      hn::Store(s, d, scores + t * kTileLanes);
    }
    top = hn::Max(top, s);
  }
  const VF shift = hn::IfThenElseZero(hn::Gt(top, empty), top);
  VF total = hn::Zero(d);
  for (int32_t t = 0; t < rows; ++t) {
    float* at = scores + t * kTileLanes;
    const VF e = hn::Exp(d, hn::Sub(hn::Load(d, at), shift));
    hn::Store(e, d, at);
    total = hn::Add(total, e);
  }
  *max = top;
  *sum = total;
}

// One vector of lanes: joins a block's (max, sum) to the tile's. Lanes for which the block is an
// earlier one weigh it by its gate's score, the others by its own softmax.
HWY_INLINE void JoinBlock(VF block_max, VF block_sum, VF gate, hn::Mask<DF> earlier, float* max,
                          float* sum, float* keep_out, float* weight_out) {
  const DF d;
  const VF empty = hn::Set(d, -HUGE_VALF);
  const VF zero = hn::Zero(d);
  const VF one = hn::Set(d, 1.0f);
  const VF old_max = hn::Load(d, max);
  const VF score = hn::IfThenElse(earlier, gate, block_max);
  const VF new_max = hn::Max(old_max, score);
  const VF shift = hn::IfThenElseZero(hn::Gt(new_max, empty), new_max);
  const VF keep = hn::Exp(d, hn::Sub(old_max, shift));
  const VF weight = hn::Exp(d, hn::Sub(score, shift));
  const VF mass = hn::IfThenElse(earlier, one, block_sum);
  // An earlier block whose rows all have score −inf keeps its gate's mass and adds nothing.
  const VF safe_sum = hn::IfThenElse(hn::Gt(block_sum, zero), block_sum, one);
  const VF read_out = hn::IfThenElse(earlier, hn::Div(weight, safe_sum), weight);
  hn::Store(new_max, d, max);
  hn::Store(hn::MulAdd(hn::Load(d, sum), keep, hn::Mul(weight, mass)), d, sum);
  hn::Store(keep, d, keep_out);
  hn::Store(read_out, d, weight_out);
}

// Softmax of a block's scores for the whole tile; see AttendParams for what a lane sees.
HWY_INLINE void TileSoftmax(const AttendParams& params, const BlockRef& block, const Tile& tile,
                            int32_t read_rows, float* scores, BlockWeights* weights) {
  const DF d;
  const DI di;
  const bool grouped = params.mode == SoftmaxMode::kGrouped;
  const int32_t block_rows = params.shape.block_rows;
  const bool masked = tile.facts[kLowest] - block.position < read_rows - 1;
  for (int32_t v = 0; v < tile.facts[kVectors]; ++v) {
    const int32_t at = v * kLanes;
    const VI offset = hn::Sub(hn::Load(di, tile.position + at), hn::Set(di, block.position));
    VF max;
    VF sum;
    if (masked) {
      ExpRows<true>(read_rows, offset, scores + at, &max, &sum);
    } else {
      ExpRows<false>(read_rows, offset, scores + at, &max, &sum);
    }
    const VI own_end = hn::Set(di, grouped ? block_rows - 1 : hwy::HighestValue<int32_t>());
    const auto earlier = hn::RebindMask(d, hn::Gt(offset, own_end));
    const bool complete = block.rows == block_rows;
    const VF gate = complete ? hn::Load(d, scores + int64_t{block_rows - 1} * kTileLanes + at)
                             : hn::Set(d, -HUGE_VALF);
    JoinBlock(max, sum, gate, earlier, tile.max + at, tile.sum + at, weights->keep + at,
              weights->weight + at);
  }
}

template <int kCount, class Product>
HWY_NOINLINE void TileBlock(const AttendParams& params, const BlockRef& block,
                            const FloatBlock& rows, const Tile& tile, float* scores) {
  const int64_t dim = params.shape.head_dim;
  const int64_t lanes = dim / Product::kNumbers;
  const int32_t read_rows = ReadRows(params, block);
  for (int64_t r = 0; r < block.rows; r += kRegisterRows) {
    ScoreRows<kCount, Product>(rows.keys + r * lanes, lanes, tile.query, scores + r * kTileLanes);
  }
  BlockWeights weights;
  TileSoftmax(params, block, tile, read_rows, scores, &weights);
  Product::Join(scores, read_rows, kTileLanes, kCount);
  const int32_t joined = (read_rows + Product::kNumbers - 1) / Product::kNumbers;
  for (int64_t c = 0; c < dim; c += kRegisterRows) {
    AddColumns<kCount, Product>(rows.values + c, rows.value_stride, joined, scores, weights,
                                tile.acc + c * kTileLanes);
  }
}

// Lays `tile` over its memory (ScratchSizes::LaneFloats() per lane).
HWY_INLINE Tile TileAt(const ScratchSizes& sizes, float* memory) {
  Tile tile;
  tile.query = memory;
  tile.acc = tile.query + sizes.dim * kTileLanes;
  tile.max = tile.acc + sizes.padded_dim * kTileLanes;
  tile.sum = tile.max + kTileLanes;
  tile.position = reinterpret_cast<int32_t*>(tile.sum + kTileLanes);
  tile.facts = tile.position + kTileLanes;
  return tile;
}

// Fills a tile with queries [first, first + count). `base` is the first block's position and `row`
// holds two rows of D floats.
HWY_INLINE Tile MakeTile(const AttendParams& params, const ScratchSizes& sizes, int64_t first,
                         int32_t count, int32_t base, float* row, float* memory) {
  Tile tile = TileAt(sizes, memory);
  tile.facts[kVectors] = (count + kLanes - 1) / kLanes;
  tile.facts[kLowest] = hwy::HighestValue<int32_t>();
  tile.facts[kHighest] = kNowhere;
  for (int32_t lane = 0; lane < kTileLanes; ++lane) {
    tile.max[lane] = -HUGE_VALF;
    tile.sum[lane] = 0.0f;
    tile.position[lane] = kNowhere;
  }
  for (int64_t i = 0; i < sizes.padded_dim * kTileLanes; ++i) tile.acc[i] = 0.0f;
  for (int32_t lane = 0; lane < tile.facts[kVectors] * kLanes; ++lane) {
    if (lane >= count) {
      for (int64_t c = 0; c < sizes.dim; ++c) tile.query[c * kTileLanes + lane] = 0.0f;
      continue;
    }
    const int64_t t = (first + lane) / params.group;
    const int64_t g = (first + lane) % params.group;
    const int32_t position = params.q_positions[t];
    const int32_t distance = position > base ? position - base : 0;
    RotateToHalves(*params.rope, distance, params.scale,
                   params.q + t * params.q_row_stride + g * sizes.dim, row + sizes.padded_dim, row);
    for (int64_t c = 0; c < sizes.dim; ++c) tile.query[c * kTileLanes + lane] = row[c];
    tile.position[lane] = position;
    tile.facts[kLowest] = HWY_MIN(tile.facts[kLowest], position);
    tile.facts[kHighest] = HWY_MAX(tile.facts[kHighest], position);
  }
  return tile;
}

// Normalises and writes the outputs of queries [first, first + count).
HWY_INLINE void WriteTile(const AttendParams& params, const ScratchSizes& sizes, const Tile& tile,
                          int64_t first, int32_t count) {
  const DF d;
  HWY_ALIGN float inverse[kMaxTileLanes];
  HWY_ALIGN float lse[kMaxTileLanes];
  for (int32_t at = 0; at < tile.facts[kVectors] * kLanes; at += kLanes) {
    const VF sum = hn::Load(d, tile.sum + at);
    const VF max = hn::Load(d, tile.max + at);
    const auto seen = hn::Gt(sum, hn::Zero(d));
    const VF one = hn::Set(d, 1.0f);
    const VF safe = hn::IfThenElse(seen, sum, one);
    hn::Store(hn::IfThenElseZero(seen, hn::Div(one, safe)), d, inverse + at);
    hn::Store(hn::IfThenElse(seen, hn::Add(max, hn::Log(d, safe)), hn::Set(d, -HUGE_VALF)), d,
              lse + at);
  }
  for (int32_t lane = 0; lane < count; ++lane) {
    const int64_t t = (first + lane) / params.group;
    const int64_t g = (first + lane) % params.group;
    float* o = params.o + t * params.o_row_stride + g * sizes.dim;
    for (int64_t c = 0; c < sizes.dim; ++c) o[c] = tile.acc[c * kTileLanes + lane] * inverse[lane];
    params.lse[t * params.group + g] = lse[lane];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace cairn
HWY_AFTER_NAMESPACE();

#endif  // CAIRN_KERNELS_ATTENTION_TILE_INL_H_
