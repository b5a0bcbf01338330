#include "index/score_kernels.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "index/score_kernels.cc"
// foreach_target.h comes before all other headers of Highway.
// clang-format off
#include "hwy/foreach_target.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "index/reduce_four-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace cairn {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(DF()));
inline constexpr int32_t kSharedRows = kLanes >= 16 ? 4 : 2;  // by the number of registers
inline constexpr int64_t kSegment = 1024;  // weights worked on at once, to stay in the first cache

template <class T>
HWY_INLINE VF LoadAsFloat(const T* HWY_RESTRICT from) {
  const DF d;
  if constexpr (hwy::IsSame<T, float>()) {
    return hn::LoadU(d, from);
  } else {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<T, DF>(), from));
  }
}

template <class T>
HWY_INLINE float ToFloat(const T* from) {
  float value;
  ConvertToFloat(hwy::IsSame<T, float>() ? DType::kF32 : DType::kBF16, from, &value, 1);
  return value;
}

#if HWY_TARGET != HWY_SCALAR

// Four vectors at a time for kRows queries; dim is a multiple of kLanes. Equal vectors get equal
// scores because every one is summed in the same order.
template <class T, int kRows>
HWY_INLINE void ScanRows(const T* HWY_RESTRICT vectors, int64_t count, int64_t dim,
                         const float* HWY_RESTRICT queries, float* HWY_RESTRICT scores,
                         int64_t stride) {
  const DF d;
  for (int64_t i = 0; i < count; i += 4) {
    const T* HWY_RESTRICT at0 = vectors + i * dim;
    const T* HWY_RESTRICT at1 = vectors + HWY_MIN(i + 1, count - 1) * dim;
    const T* HWY_RESTRICT at2 = vectors + HWY_MIN(i + 2, count - 1) * dim;
    const T* HWY_RESTRICT at3 = vectors + HWY_MIN(i + 3, count - 1) * dim;
    VF sum[kRows][4];
    HWY_UNROLL(4) for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(4) for (int j = 0; j < 4; ++j) sum[r][j] = hn::Zero(d);
    }
    for (int64_t c = 0; c < dim; c += kLanes) {
      const VF v0 = LoadAsFloat(at0 + c);
      const VF v1 = LoadAsFloat(at1 + c);
      const VF v2 = LoadAsFloat(at2 + c);
      const VF v3 = LoadAsFloat(at3 + c);
      HWY_UNROLL(4) for (int r = 0; r < kRows; ++r) {
        const VF query = hn::LoadU(d, queries + r * dim + c);
        sum[r][0] = hn::MulAdd(query, v0, sum[r][0]);
        sum[r][1] = hn::MulAdd(query, v1, sum[r][1]);
        sum[r][2] = hn::MulAdd(query, v2, sum[r][2]);
        sum[r][3] = hn::MulAdd(query, v3, sum[r][3]);
      }
    }
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) StoreFour<AddOp>(sum[r], scores + r * stride + i);
  }
}

// One vector alone, summed as ScanRows sums each.
template <class T>
HWY_INLINE void ScanOne(const T* HWY_RESTRICT vector, int64_t dim,
                        const float* HWY_RESTRICT queries, int32_t rows, float* HWY_RESTRICT scores,
                        int64_t stride) {
  const DF d;
  for (int32_t r = 0; r < rows; ++r) {
    VF sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    for (int64_t c = 0; c < dim; c += kLanes) {
      sum[0] = hn::MulAdd(hn::LoadU(d, queries + r * dim + c), LoadAsFloat(vector + c), sum[0]);
    }
    StoreFour<AddOp>(sum, scores + r * stride);
  }
}

#endif

template <class T>
void ScanScoresOf(const T* vectors, int64_t count, int64_t dim, const float* queries, int32_t rows,
                  float* scores, int64_t stride) {
  int32_t r = 0;
#if HWY_TARGET != HWY_SCALAR
  if (count == 1 && dim % kLanes == 0) {
    ScanOne(vectors, dim, queries, rows, scores, stride);
    return;
  }
  while (dim % kLanes == 0 && r < rows) {
    const int32_t shared = HWY_MIN(kSharedRows, rows - r);
    const float* query = queries + r * dim;
    float* to = scores + r * stride;
    switch (shared) {
      case 1:
        ScanRows<T, 1>(vectors, count, dim, query, to, stride);
        break;
      case 2:
        ScanRows<T, 2>(vectors, count, dim, query, to, stride);
        break;
      case 3:
        ScanRows<T, 3>(vectors, count, dim, query, to, stride);
        break;
      default:
        ScanRows<T, 4>(vectors, count, dim, query, to, stride);
        break;
    }
    r += shared;
  }
#endif
  for (; r < rows; ++r) {  // dimensions no vector divides
    for (int64_t i = 0; i < count; ++i) {
      float sum = 0.0f;
      for (int64_t c = 0; c < dim; ++c)
        sum += queries[r * dim + c] * ToFloat(vectors + i * dim + c);
      scores[r * stride + i] = sum;
    }
  }
}

void ScanScoresOn(DType type, const std::byte* vectors, int64_t count, int32_t dim,
                  const float* queries, int32_t rows, float* scores, int64_t stride) {
  if (type == DType::kF32) {
    ScanScoresOf(reinterpret_cast<const float*>(vectors), count, dim, queries, rows, scores,
                 stride);
  } else {
    ScanScoresOf(reinterpret_cast<const hwy::bfloat16_t*>(vectors), count, dim, queries, rows,
                 scores, stride);
  }
}

float FoldScoresOn(const float* HWY_RESTRICT scores, int32_t representatives, int64_t blocks,
                   float* HWY_RESTRICT folded) {
  const DF d;
  VF top = hn::Set(d, -HUGE_VALF);
  int64_t b = 0;
#if HWY_TARGET != HWY_SCALAR
  if (representatives == 1 || representatives == 2 || representatives == 4) {
    for (; b + kLanes <= blocks; b += kLanes) {
      VF v0;
      VF v1;
      VF v2;
      VF v3;
      if (representatives == 4) {
        hn::LoadInterleaved4(d, scores + 4 * b, v0, v1, v2, v3);
        v0 = hn::Max(hn::Max(v0, v1), hn::Max(v2, v3));
      } else if (representatives == 2) {
        hn::LoadInterleaved2(d, scores + 2 * b, v0, v1);
        v0 = hn::Max(v0, v1);
      } else {
        v0 = hn::LoadU(d, scores + b);
      }
      hn::StoreU(v0, d, folded + b);
      top = hn::Max(top, v0);
    }
  }
#endif
  float max = hn::GetLane(hn::MaxOfLanes(d, top));
  for (; b < blocks; ++b) {
    float best = scores[b * representatives];
    for (int32_t i = 1; i < representatives; ++i) {
      best = HWY_MAX(best, scores[b * representatives + i]);
    }
    folded[b] = best;
    max = HWY_MAX(max, best);
  }
  return max;
}

float SumOfExpOn(const float* HWY_RESTRICT scores, int64_t blocks, float max) {
  const DF d;
  const VF shift = hn::Set(d, max);
  VF even = hn::Zero(d);
  VF odd = hn::Zero(d);
  int64_t b = 0;
  for (; b + 2 * kLanes <= blocks; b += 2 * kLanes) {
    even = hn::Add(even, hn::Exp(d, hn::Sub(hn::LoadU(d, scores + b), shift)));
    odd = hn::Add(odd, hn::Exp(d, hn::Sub(hn::LoadU(d, scores + b + kLanes), shift)));
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
  for (; b < blocks; ++b) sum += std::exp(scores[b] - max);
  return sum;
}

void MaximaOfSixteensOn(const float* HWY_RESTRICT scores, int64_t blocks,
                        float* HWY_RESTRICT maxima) {
  int64_t b = 0;
#if HWY_TARGET != HWY_SCALAR
  const DF d;
  constexpr int64_t kRun = 16;
  for (; b + 4 * kRun <= blocks; b += 4 * kRun) {
    VF top[4];
    HWY_UNROLL(4) for (int64_t i = 0; i < 4; ++i) {
      const float* HWY_RESTRICT run = scores + b + i * kRun;
      top[i] = hn::LoadU(d, run);
      for (int64_t at = kLanes; at < kRun; at += kLanes) {
        top[i] = hn::Max(top[i], hn::LoadU(d, run + at));
      }
    }
    StoreFour<MaxOp>(top, maxima + b / kRun);
  }
#endif
  for (int64_t begin = b; begin < blocks; begin += 16) {
    float best = scores[begin];
    for (int64_t i = begin + 1; i < HWY_MIN(begin + 16, blocks); ++i) {
      best = HWY_MAX(best, scores[i]);
    }
    maxima[begin / 16] = best;
  }
}

void FoldRowsOn(const float* scores, int64_t stride, int32_t rows, const float* lse, int64_t count,
                float* best) {
  const DF d;
  for (int64_t begin = 0; begin < count; begin += kSegment) {
    const int64_t end = HWY_MIN(begin + kSegment, count);
    for (int32_t r = 0; r < rows; ++r) {
      const float* HWY_RESTRICT from = scores + r * stride;
      const VF minus = hn::Set(d, lse[r]);
      int64_t b = begin;
      for (; b + kLanes <= end; b += kLanes) {
        const VF weight = hn::Sub(hn::LoadU(d, from + b), minus);
        hn::StoreU(hn::Max(hn::LoadU(d, best + b), weight), d, best + b);
      }
      for (; b < end; ++b) best[b] = HWY_MAX(best[b], from[b] - lse[r]);
    }
  }
}

void OfferBlocksOn(const float* scores, int64_t stride, int32_t rows, const float* lse,
                   int64_t count, TopBlocks* top) {
  const DF d;
  HWY_ALIGN float weights[kSegment];
  for (int64_t begin = 0; begin < count; begin += kSegment) {
    const int64_t length = HWY_MIN(kSegment, count - begin);
    for (int64_t b = 0; b < kSegment; ++b) weights[b] = -HUGE_VALF;
    FoldRowsOn(scores + begin, stride, rows, lse, length, weights);
    int64_t b = 0;
    while (b < length) {
      // A vector without a single weight above the threshold, as most are, is passed at once.
      const VF weight = hn::LoadU(d, weights + b);
      if (top->full() && hn::AllFalse(d, hn::Gt(weight, hn::Set(d, top->threshold())))) {
        b += kLanes;
        continue;
      }
      const int64_t end = HWY_MIN(b + kLanes, length);
      for (; b < end; ++b) top->Offer(weights[b], begin + b);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace cairn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn {

HWY_EXPORT(ScanScoresOn);
HWY_EXPORT(FoldScoresOn);
HWY_EXPORT(SumOfExpOn);
HWY_EXPORT(MaximaOfSixteensOn);
HWY_EXPORT(FoldRowsOn);
HWY_EXPORT(OfferBlocksOn);

void ScanScores(DType type, const std::byte* vectors, int64_t count, int32_t dim,
                const float* queries, int32_t rows, float* scores, int64_t stride) {
  HWY_DYNAMIC_DISPATCH(ScanScoresOn)(type, vectors, count, dim, queries, rows, scores, stride);
}

float FoldScores(const float* scores, int32_t representatives, int64_t blocks, float* folded) {
  return HWY_DYNAMIC_DISPATCH(FoldScoresOn)(scores, representatives, blocks, folded);
}

float SumOfExp(const float* scores, int64_t blocks, float max) {
  return HWY_DYNAMIC_DISPATCH(SumOfExpOn)(scores, blocks, max);
}

void MaximaOfSixteens(const float* scores, int64_t blocks, float* maxima) {
  HWY_DYNAMIC_DISPATCH(MaximaOfSixteensOn)(scores, blocks, maxima);
}

void OfferBlocks(const float* scores, int64_t stride, int32_t rows, const float* lse, int64_t count,
                 TopBlocks* top) {
  HWY_DYNAMIC_DISPATCH(OfferBlocksOn)(scores, stride, rows, lse, count, top);
}

void FoldRows(const float* scores, int64_t stride, int32_t rows, const float* lse, int64_t count,
              float* best) {
  HWY_DYNAMIC_DISPATCH(FoldRowsOn)(scores, stride, rows, lse, count, best);
}

}  // namespace cairn
#endif
