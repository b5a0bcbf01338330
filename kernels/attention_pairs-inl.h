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

#include "hwy/highway.h"
#include "kernels/attention_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cairn {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_AVX3
inline constexpr bool kHavePairs = true;

// The instructions are written out, as Highway of Debian 12 does not know them.
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

struct PairProducts {
  static constexpr int32_t kNumbers = 2;
  static HWY_INLINE VF Add(VF sum, VF a, VF b) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
    return sum;
  }
  static HWY_INLINE void Join(float* rows, int64_t count, int64_t stride, int64_t vectors) {
    PairRows(rows, count, stride, vectors);
  }
};

#else

inline constexpr bool kHavePairs = false;
HWY_INLINE void PairRows(float*, int64_t, int64_t, int64_t) {}
HWY_INLINE void PairNumbers(float*, int64_t) {}
using PairProducts = Products;

#endif

}  // namespace HWY_NAMESPACE
}  // namespace cairn
HWY_AFTER_NAMESPACE();

#endif  // CAIRN_KERNELS_ATTENTION_PAIRS_INL_H_
