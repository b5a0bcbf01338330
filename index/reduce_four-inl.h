// Four vectors of floats combined, each across its lanes, at once.

// Per-target include guard.
#if defined(CAIRN_INDEX_REDUCE_FOUR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CAIRN_INDEX_REDUCE_FOUR_INL_H_
#undef CAIRN_INDEX_REDUCE_FOUR_INL_H_
#else
#define CAIRN_INDEX_REDUCE_FOUR_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace cairn {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;

#if HWY_TARGET != HWY_SCALAR

struct AddOp {
  template <class V>
  HWY_INLINE V operator()(V a, V b) const {
    return hn::Add(a, b);
  }
};
struct MaxOp {
  template <class V>
  HWY_INLINE V operator()(V a, V b) const {
    return hn::Max(a, b);
  }
};

// to[0, 4): the numbers at i, i + 4, i + 8, … of v combined.
template <class Op, class D>
HWY_INLINE void StoreQuarters(D d, hn::Vec<D> v, float* to) {
  if constexpr (hn::MaxLanes(D()) > 4) {
    const hn::Half<D> half;
    StoreQuarters<Op>(half, Op()(hn::LowerHalf(half, v), hn::UpperHalf(half, v)), to);
  } else {
    hn::StoreU(v, d, to);
  }
}

// to[i] = v[i]'s lanes combined, for four vectors.
template <class Op>
HWY_INLINE void StoreFour(const VF v[4], float* to) {
  const DF d;
  const hn::Repartition<double, DF> d64;
  const Op op;
  const VF ab = op(hn::InterleaveLower(d, v[0], v[1]), hn::InterleaveUpper(d, v[0], v[1]));
  const VF cd = op(hn::InterleaveLower(d, v[2], v[3]), hn::InterleaveUpper(d, v[2], v[3]));
  const auto ab64 = hn::BitCast(d64, ab);
  const auto cd64 = hn::BitCast(d64, cd);
  const VF low = hn::BitCast(d, hn::InterleaveLower(d64, ab64, cd64));
  const VF high = hn::BitCast(d, hn::InterleaveUpper(d64, ab64, cd64));
  StoreQuarters<Op>(d, op(low, high), to);  // four results in every 128 bits
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace cairn
HWY_AFTER_NAMESPACE();

#endif  // CAIRN_INDEX_REDUCE_FOUR_INL_H_
