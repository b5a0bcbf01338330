// The tile's products with pairs of bf16 numbers: one instruction multiplies two and adds both to a
// sum of f32, so that reading takes half of the multiplications. Keys, queries, weights and values
// are rounded to bf16, as they are in most of what models are trained and served with; maxima,
// exponentials and sums are as in attention_tile-inl.h. For CPUs with AVX-512 BF16.

// Per-target include guard.
#if defined(CAIRN_KERNELS_ATTENTION_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CAIRN_KERNELS_ATTENTION_PAIRS_INL_H_
#undef CAIRN_KERNELS_ATTENTION_PAIRS_INL_H_
#else
#define CAIRN_KERNELS_ATTENTION_PAIRS_INL_H_
#endif

#include <cstdint>

#include "base/check.h"
#include "hwy/highway.h"
#include "kernels/attention_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cairn {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_AVX3
inline constexpr bool kHavePairs = true;

// Highway of Debian 12 knows neither instruction.
HWY_INLINE VF AddPairProducts(VF sum, VF a, VF b) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
  return sum;
}
HWY_INLINE hn::Vec<hn::Rebind<uint16_t, DF>> ToBf16(VF v) {
  hn::Vec<hn::Rebind<uint16_t, DF>> halves;
  asm("vcvtneps2bf16 %1, %0" : "=v"(halves.raw) : "v"(v.raw));
  return halves;
}

// Row i of `rows`, as wide as `vectors`, becomes rows 2i and 2i + 1 in pairs; what is missing is 0.
HWY_INLINE void PairRows(float* HWY_RESTRICT rows, int64_t count, int64_t stride, int64_t vectors) {
  const DF d;
  const hn::RebindToUnsigned<DF> du;
  for (int64_t i = 0; 2 * i < count; ++i) {
    for (int64_t v = 0; v < vectors; ++v) {
      const float* from = rows + 2 * i * stride + v * kLanes;
      const VF second = 2 * i + 1 < count ? hn::LoadU(d, from + stride) : hn::Zero(d);
      const auto low = hn::PromoteTo(du, ToBf16(hn::LoadU(d, from)));
      const auto high = hn::ShiftLeft<16>(hn::PromoteTo(du, ToBf16(second)));
      hn::StoreU(hn::BitCast(d, hn::Or(low, high)), d, rows + i * stride + v * kLanes);
    }
  }
}

// Numbers that lie side by side become pairs; `count` is a multiple of the vector.
HWY_INLINE void PairNumbers(float* HWY_RESTRICT numbers, int64_t count) {
  const DF d;
  const hn::Rebind<uint16_t, DF> d16;
  auto* to = reinterpret_cast<uint16_t*>(numbers);
  for (int64_t i = 0; i < count; i += kLanes) {
    hn::StoreU(ToBf16(hn::LoadU(d, numbers + i)), d16, to + i);
  }
}

// ScoreRows of pairs: keys [rows, pairs], query [pairs, lanes].
template <int kCount>
HWY_INLINE void ScorePairs(const float* HWY_RESTRICT keys, int64_t pairs,
                           const float* HWY_RESTRICT query, float* HWY_RESTRICT scores) {
  const DF d;
  VF sum[kRegisterRows][kCount];
  HWY_UNROLL(8) for (int r = 0; r < kRegisterRows; ++r) {
    HWY_UNROLL(3) for (int v = 0; v < kCount; ++v) sum[r][v] = hn::Zero(d);
  }
  for (int64_t c = 0; c < pairs; ++c) {
    VF q[kCount];
    HWY_UNROLL(3)
    for (int v = 0; v < kCount; ++v) q[v] = hn::Load(d, query + c * kTileLanes + v * kLanes);
    HWY_UNROLL(8) for (int r = 0; r < kRegisterRows; ++r) {
      const VF key = hn::Set(d, keys[r * pairs + c]);
      HWY_UNROLL(3)
      for (int v = 0; v < kCount; ++v) sum[r][v] = AddPairProducts(sum[r][v], key, q[v]);
    }
  }
  HWY_UNROLL(8) for (int r = 0; r < kRegisterRows; ++r) {
    HWY_UNROLL(3) for (int v = 0; v < kCount; ++v) {
      hn::Store(sum[r][v], d, scores + r * kTileLanes + v * kLanes);
    }
  }
}

// AddColumns of pairs of rows: values [pairs, value_stride], scores [pairs, lanes].
template <int kCount>
HWY_INLINE void AddColumnPairs(const float* HWY_RESTRICT values, int64_t value_stride,
                               int64_t pairs, const float* HWY_RESTRICT scores,
                               const BlockWeights& weights, float* HWY_RESTRICT acc) {
  const DF d;
  VF sum[kRegisterRows][kCount];
  HWY_UNROLL(8) for (int c = 0; c < kRegisterRows; ++c) {
    HWY_UNROLL(3) for (int v = 0; v < kCount; ++v) sum[c][v] = hn::Zero(d);
  }
  for (int64_t t = 0; t < pairs; ++t) {
    VF p[kCount];
    HWY_UNROLL(3)
    for (int v = 0; v < kCount; ++v) p[v] = hn::Load(d, scores + t * kTileLanes + v * kLanes);
    HWY_UNROLL(8) for (int c = 0; c < kRegisterRows; ++c) {
      const VF value = hn::Set(d, values[t * value_stride + c]);
      HWY_UNROLL(3)
      for (int v = 0; v < kCount; ++v) sum[c][v] = AddPairProducts(sum[c][v], value, p[v]);
    }
  }
  KeepAndAdd<kCount>(sum, weights, acc);
}

template <int kCount>
HWY_NOINLINE void TileBlockPairs(const AttendParams& params, const BlockRef& block,
                                 const FloatBlock& rows, const Tile& tile, float* scores) {
  const int64_t dim = params.shape.head_dim;
  const int32_t read_rows = ReadRows(params, block);
  for (int64_t r = 0; r < block.rows; r += kRegisterRows) {
    ScorePairs<kCount>(rows.keys + r * dim / 2, dim / 2, tile.query, scores + r * kTileLanes);
  }
  BlockWeights weights;
  TileSoftmax(params, block, tile, read_rows, scores, &weights);
  PairRows(scores, read_rows, kTileLanes, kCount);
  for (int64_t c = 0; c < dim; c += kRegisterRows) {
    AddColumnPairs<kCount>(rows.values + c, rows.value_stride, (read_rows + 1) / 2, scores, weights,
                           tile.acc + c * kTileLanes);
  }
}

#else

inline constexpr bool kHavePairs = false;
HWY_INLINE void PairRows(float*, int64_t, int64_t, int64_t) {}
HWY_INLINE void PairNumbers(float*, int64_t) {}
template <int kCount>
HWY_INLINE void TileBlockPairs(const AttendParams&, const BlockRef&, const FloatBlock&, const Tile&,
                               float*) {
  CAIRN_CHECK(false);
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace cairn
HWY_AFTER_NAMESPACE();

#endif  // CAIRN_KERNELS_ATTENTION_PAIRS_INL_H_
