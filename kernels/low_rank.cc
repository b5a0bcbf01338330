#include "kernels/low_rank.h"

#include "base/dtype.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/low_rank.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace cairn {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DH = hn::Rebind<hwy::float16_t, DF>;
using VF = hn::Vec<DF>;

HWY_INLINE VF Halves(const uint16_t* from) {
  return hn::PromoteTo(DF(), hn::LoadU(DH(), reinterpret_cast<const hwy::float16_t*>(from)));
}

void DownOn(const uint16_t* a, int64_t rank, int64_t k, float scale, const float* x, float* t) {
  const DF d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t r = 0; r < rank; ++r) {
    const uint16_t* row = a + r * k;
    VF even = hn::Zero(d);
    VF odd = hn::Zero(d);
    int64_t c = 0;
    for (; c + 2 * lanes <= k; c += 2 * lanes) {
      even = hn::MulAdd(Halves(row + c), hn::LoadU(d, x + c), even);
      odd = hn::MulAdd(Halves(row + c + lanes), hn::LoadU(d, x + c + lanes), odd);
    }
    float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
    for (; c < k; ++c) sum += HalfToFloat(row[c]) * x[c];
    t[r] = scale * sum;
  }
}

void UpOn(const uint16_t* b, int64_t rank, int64_t n, const float* t, int64_t begin, int64_t end,
          float* y) {
  const DF d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = begin;
  for (; i + lanes <= end; i += lanes) {
    VF sum = hn::LoadU(d, y + i);
    for (int64_t r = 0; r < rank; ++r) {
      sum = hn::MulAdd(Halves(b + r * n + i), hn::Set(d, t[r]), sum);
    }
    hn::StoreU(sum, d, y + i);
  }
  LowRankUpReference(b, rank, n, t, i, end, y);
}

}  // namespace HWY_NAMESPACE
}  // namespace cairn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn {

HWY_EXPORT(DownOn);
HWY_EXPORT(UpOn);

void LowRankDownReference(const uint16_t* a, int64_t rank, int64_t k, float scale, const float* x,
                          float* t) {
  for (int64_t r = 0; r < rank; ++r) {
    float sum = 0;
    for (int64_t c = 0; c < k; ++c) sum += HalfToFloat(a[r * k + c]) * x[c];
    t[r] = scale * sum;
  }
}

void LowRankUpReference(const uint16_t* b, int64_t rank, int64_t n, const float* t, int64_t begin,
                        int64_t end, float* y) {
  for (int64_t i = begin; i < end; ++i) {
    float sum = y[i];
    for (int64_t r = 0; r < rank; ++r) sum += HalfToFloat(b[r * n + i]) * t[r];
    y[i] = sum;
  }
}

void LowRankDown(const uint16_t* a, int64_t rank, int64_t k, float scale, const float* x,
                 float* t) {
  HWY_DYNAMIC_DISPATCH(DownOn)(a, rank, k, scale, x, t);
}

void LowRankUp(const uint16_t* b, int64_t rank, int64_t n, const float* t, int64_t begin,
               int64_t end, float* y) {
  HWY_DYNAMIC_DISPATCH(UpOn)(b, rank, n, t, begin, end, y);
}

}  // namespace cairn
#endif
