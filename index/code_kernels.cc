#include "index/code_kernels.h"

#include <cmath>

#include "base/dtype.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "index/code_kernels.cc"
// foreach_target.h comes before all other headers of Highway.
// clang-format off
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "index/reduce_four-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace cairn {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DI = hn::RebindToSigned<DF>;
inline constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(DF()));
inline constexpr float kLargest = 16256.0f;  // 127 · 128: high is within ±127, low within −64 to 63

float SplitQueryOn(const float* HWY_RESTRICT query, const uint16_t* HWY_RESTRICT step, int64_t dim,
                   int64_t padded_dim, int8_t* HWY_RESTRICT high, int8_t* HWY_RESTRICT low) {
  const DF d;
  const DI di;
  const hn::Rebind<int8_t, DF> d8;
  const hn::Rebind<hwy::bfloat16_t, DF> d16;
  const auto* steps = reinterpret_cast<const hwy::bfloat16_t*>(step);
  hn::Vec<DF> top = hn::Zero(d);
  int64_t c = 0;
  for (; c + kLanes <= dim; c += kLanes) {
    const auto product =
        hn::Mul(hn::LoadU(d, query + c), hn::PromoteTo(d, hn::LoadU(d16, steps + c)));
    top = hn::Max(top, hn::Abs(product));
  }
  float most = hn::GetLane(hn::MaxOfLanes(d, top));
  for (int64_t i = c; i < dim; ++i) {
    const float product = query[i] * Bf16ToFloat(step[i]);
    most = HWY_MAX(most, product < 0 ? -product : product);
  }
  for (int64_t i = dim; i < padded_dim; ++i) high[i] = low[i] = 0;
  const float unit = most / kLargest;
  const float inverse = kLargest / most;
  if (!(unit > 0.0f) || !(inverse < 3e38f)) {  // nothing, or too little to divide by
    for (int64_t i = 0; i < dim; ++i) high[i] = low[i] = 0;
    return 0.0f;
  }
  const auto whole = hn::Set(d, inverse);
  const auto half = hn::Set(di, 64);
  for (c = 0; c + kLanes <= dim; c += kLanes) {
    const auto product =
        hn::Mul(hn::LoadU(d, query + c), hn::PromoteTo(d, hn::LoadU(d16, steps + c)));
    const auto number = hn::NearestInt(hn::Mul(product, whole));
    const auto upper = hn::ShiftRight<7>(hn::Add(number, half));
    const auto lower = hn::Sub(number, hn::ShiftLeft<7>(upper));
    hn::StoreU(hn::DemoteTo(d8, upper), d8, high + c);
    hn::StoreU(hn::DemoteTo(d8, lower), d8, low + c);
  }
  for (; c < dim; ++c) {
    const float scaled = query[c] * Bf16ToFloat(step[c]) * inverse;
    const auto number = static_cast<int32_t>(scaled < 0 ? scaled - 0.5f : scaled + 0.5f);
    const int32_t upper = (number + 64) >> 7;
    high[c] = static_cast<int8_t>(upper);
    low[c] = static_cast<int8_t>(number - 128 * upper);
  }
  return unit;
}

template <bool kLow>
void JoinSumsOf(const int32_t* HWY_RESTRICT high, const int32_t* HWY_RESTRICT low, int64_t count,
                float unit, float offset, float* HWY_RESTRICT scores) {
  const DF d;
  const DI di;
  const auto per_high = hn::Set(d, 128.0f * unit);
  [[maybe_unused]] const auto per_low = hn::Set(d, unit);
  const auto constant = hn::Set(d, offset);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    auto rest = constant;
    if constexpr (kLow) {
      rest = hn::MulAdd(hn::ConvertTo(d, hn::LoadU(di, low + i)), per_low, constant);
    }
    hn::StoreU(hn::MulAdd(hn::ConvertTo(d, hn::LoadU(di, high + i)), per_high, rest), d,
               scores + i);
  }
  for (; i < count; ++i) {
    const float rest = kLow ? static_cast<float>(low[i]) * unit + offset : offset;
    scores[i] = static_cast<float>(high[i]) * (128.0f * unit) + rest;
  }
}

void JoinSumsOn(const int32_t* high, const int32_t* low, int64_t count, float unit, float offset,
                float* scores) {
  low == nullptr ? JoinSumsOf<false>(high, low, count, unit, offset, scores)
                 : JoinSumsOf<true>(high, low, count, unit, offset, scores);
}

// What is the same for all sums of a row.
struct Join {
  int32_t high_bias;
  int32_t low_bias;
  float unit;
  float offset;
};

// Scores of a vector of sums.
HWY_INLINE VF ScaledScore(const int32_t* HWY_RESTRICT high, const int32_t* HWY_RESTRICT low,
                          const uint16_t* HWY_RESTRICT scales, const Join& join) {
  const DF d;
  const DI di;
  const hn::Rebind<hwy::bfloat16_t, DF> d16;
  const auto upper = hn::ConvertTo(d, hn::Sub(hn::LoadU(di, high), hn::Set(di, join.high_bias)));
  const auto lower =
      low == nullptr ? hn::Zero(d)
                     : hn::ConvertTo(d, hn::Sub(hn::LoadU(di, low), hn::Set(di, join.low_bias)));
  const auto* steps = reinterpret_cast<const hwy::bfloat16_t*>(scales);
  const auto scale = hn::Mul(hn::Set(d, join.unit), hn::PromoteTo(d, hn::LoadU(d16, steps)));
  return hn::MulAdd(hn::MulAdd(upper, hn::Set(d, 128.0f), lower), scale, hn::Set(d, join.offset));
}

// The lanes of a vector at i that are before `count`.
HWY_INLINE hn::Mask<DF> Within(int64_t i, int64_t count) {
  return hn::FirstN(DF(), static_cast<size_t>(HWY_MIN(count - i, kLanes)));
}

float JoinScaledSumsOn(const int32_t* HWY_RESTRICT high, int32_t high_bias,
                       const int32_t* HWY_RESTRICT low, int32_t low_bias, int64_t count, float unit,
                       float offset, const uint16_t* HWY_RESTRICT scales,
                       float* HWY_RESTRICT scores) {
  const DF d;
  const Join join{high_bias, low_bias, unit, offset};
  const auto nothing = hn::Set(d, -HUGE_VALF);
  auto top = nothing;
  for (int64_t i = 0; i < count; i += kLanes) {
    const VF score = ScaledScore(high + i, low == nullptr ? nullptr : low + i, scales + i, join);
    top = hn::Max(top, hn::IfThenElse(Within(i, count), score, nothing));
    hn::StoreU(score, d, scores + i);
  }
  return hn::GetLane(hn::MaxOfLanes(d, top));
}

int64_t SelectFromOn(const float* HWY_RESTRICT numbers, int64_t count, float least,
                     int32_t* HWY_RESTRICT which) {
  const DF d;
  const DI di;
  const auto bar = hn::Set(d, least);
  int64_t found = 0;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const auto above = hn::Ge(hn::LoadU(d, numbers + i), bar);
    if (hn::AllFalse(d, above)) continue;
    // By a register: compressed to memory it takes a hundred cycles on some CPUs.
    const auto places = hn::Iota(di, static_cast<int32_t>(i));
    hn::StoreU(hn::Compress(places, hn::RebindMask(di, above)), di, which + found);
    found += static_cast<int64_t>(hn::CountTrue(d, above));
  }
  for (; i < count; ++i) {
    if (numbers[i] >= least) which[found++] = static_cast<int32_t>(i);
  }
  return found;
}

// 2^x for x ≤ 80: a power of two by its exponent, the rest by the series of the exponential.
HWY_INLINE VF PowerOfTwo(VF x) {
  const DF d;
  x = hn::Max(x, hn::Set(d, -126.0f));
  const auto whole = hn::NearestInt(x);
  const VF f = hn::Sub(x, hn::ConvertTo(d, whole));
  VF power = hn::Set(d, 1.3333558e-3f);
  power = hn::MulAdd(power, f, hn::Set(d, 9.6181291e-3f));
  power = hn::MulAdd(power, f, hn::Set(d, 5.5504109e-2f));
  power = hn::MulAdd(power, f, hn::Set(d, 2.4022651e-1f));
  power = hn::MulAdd(power, f, hn::Set(d, 6.9314718e-1f));
  power = hn::MulAdd(power, f, hn::Set(d, 1.0f));
  const DI di;
  return hn::BitCast(d, hn::Add(hn::BitCast(di, power), hn::ShiftLeft<23>(whole)));
}

FoldedSums FoldScaledSumsOn(const int32_t* HWY_RESTRICT high, int32_t high_bias,
                            const int32_t* HWY_RESTRICT low, int32_t low_bias, int64_t count,
                            float unit, float offset, const uint16_t* HWY_RESTRICT scales,
                            float reference, float lse, float* HWY_RESTRICT best,
                            float* HWY_RESTRICT scores) {
  constexpr float kLog2E = 1.44269504f;
  const DF d;
  const Join join{high_bias, low_bias, unit, offset};
  const auto less = hn::Set(d, lse);
  const auto log2e = hn::Set(d, kLog2E);
  const auto shift = hn::Set(d, -reference * kLog2E);
  const auto nothing = hn::Set(d, -HUGE_VALF);
  VF top = nothing;
  VF total = hn::Zero(d);
  for (int64_t i = 0; i < count; i += kLanes) {
    const auto within = Within(i, count);
    const VF score = ScaledScore(high + i, low == nullptr ? nullptr : low + i, scales + i, join);
    top = hn::Max(top, hn::IfThenElse(within, score, nothing));
    if (scores != nullptr) hn::StoreU(score, d, scores + i);
    const VF power = PowerOfTwo(hn::MulAdd(score, log2e, shift));
    total = hn::Add(total, hn::IfThenElseZero(within, power));
    hn::StoreU(hn::Max(hn::LoadU(d, best + i), hn::Sub(score, less)), d, best + i);
  }
  return {hn::GetLane(hn::MaxOfLanes(d, top)), hn::GetLane(hn::SumOfLanes(d, total))};
}

template <bool kLow>
FoldedSums FoldSumsOf(const int32_t* HWY_RESTRICT high, const int32_t* HWY_RESTRICT low,
                      int64_t count, float unit, float offset, float reference,
                      float* HWY_RESTRICT maxima) {
  FoldedSums folded{-HUGE_VALF, 0.0f};
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  constexpr float kLog2E = 1.44269504f;
  const DF d;
  const DI di;
  const auto per_high = hn::Set(d, 128.0f * unit);
  [[maybe_unused]] const auto per_low = hn::Set(d, unit);
  const auto constant = hn::Set(d, offset);
  const auto log2e = hn::Set(d, kLog2E);
  const auto shift = hn::Set(d, -reference * kLog2E);
  VF top = hn::Set(d, -HUGE_VALF);
  VF sum[2] = {hn::Zero(d), hn::Zero(d)};
  // Takes 16 sums and returns the largest score of each lane.
  const auto take = [&](int64_t begin, VF& sum) {
    VF best = hn::Set(d, -HUGE_VALF);
    for (int64_t at = begin; at < begin + 16; at += kLanes) {
      VF rest = constant;
      if constexpr (kLow) {
        rest = hn::MulAdd(hn::ConvertTo(d, hn::LoadU(di, low + at)), per_low, constant);
      }
      const VF score = hn::MulAdd(hn::ConvertTo(d, hn::LoadU(di, high + at)), per_high, rest);
      best = hn::Max(best, score);
      sum = hn::Add(sum, PowerOfTwo(hn::MulAdd(score, log2e, shift)));
    }
    top = hn::Max(top, best);
    return best;
  };
  for (; i + 64 <= count; i += 64) {
    const VF best[4] = {take(i, sum[0]), take(i + 16, sum[1]), take(i + 32, sum[0]),
                        take(i + 48, sum[1])};
    StoreFour<MaxOp>(best, maxima + i / 16);
  }
  for (; i + 16 <= count; i += 16) {
    maxima[i / 16] = hn::GetLane(hn::MaxOfLanes(d, take(i, sum[0])));
  }
  folded = {hn::GetLane(hn::MaxOfLanes(d, top)),
            hn::GetLane(hn::SumOfLanes(d, hn::Add(sum[0], sum[1])))};
#endif
  for (; i < count; i += 16) {
    float most = -HUGE_VALF;
    for (int64_t at = i; at < HWY_MIN(i + 16, count); ++at) {
      const float score = static_cast<float>(high[at]) * (128.0f * unit) +
                          (kLow ? static_cast<float>(low[at]) * unit + offset : offset);
      most = HWY_MAX(most, score);
      folded.sum += std::exp(score - reference);
    }
    maxima[i / 16] = most;
    folded.max = HWY_MAX(folded.max, most);
  }
  return folded;
}

FoldedSums FoldSumsOn(const int32_t* high, const int32_t* low, int64_t count, float unit,
                      float offset, float reference, float* maxima) {
  if (low == nullptr) {
    return FoldSumsOf<false>(high, low, count, unit, offset, reference, maxima);
  }
  return FoldSumsOf<true>(high, low, count, unit, offset, reference, maxima);
}

}  // namespace HWY_NAMESPACE
}  // namespace cairn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn {

HWY_EXPORT(SplitQueryOn);
HWY_EXPORT(JoinSumsOn);
HWY_EXPORT(JoinScaledSumsOn);
HWY_EXPORT(FoldScaledSumsOn);
HWY_EXPORT(FoldSumsOn);
HWY_EXPORT(SelectFromOn);

float SplitQuery(const float* query, const uint16_t* step, int64_t dim, int64_t padded_dim,
                 int8_t* high, int8_t* low) {
  return HWY_DYNAMIC_DISPATCH(SplitQueryOn)(query, step, dim, padded_dim, high, low);
}

void JoinSums(const int32_t* high, const int32_t* low, int64_t count, float unit, float offset,
              float* scores) {
  HWY_DYNAMIC_DISPATCH(JoinSumsOn)(high, low, count, unit, offset, scores);
}

float JoinScaledSums(const int32_t* high, int32_t high_bias, const int32_t* low, int32_t low_bias,
                     int64_t count, float unit, float offset, const uint16_t* scales,
                     float* scores) {
  return HWY_DYNAMIC_DISPATCH(JoinScaledSumsOn)(high, high_bias, low, low_bias, count, unit, offset,
                                                scales, scores);
}

FoldedSums FoldScaledSums(const int32_t* high, int32_t high_bias, const int32_t* low,
                          int32_t low_bias, int64_t count, float unit, float offset,
                          const uint16_t* scales, float reference, float lse, float* best,
                          float* scores) {
  return HWY_DYNAMIC_DISPATCH(FoldScaledSumsOn)(high, high_bias, low, low_bias, count, unit, offset,
                                                scales, reference, lse, best, scores);
}

FoldedSums FoldSums(const int32_t* high, const int32_t* low, int64_t count, float unit,
                    float offset, float reference, float* maxima) {
  return HWY_DYNAMIC_DISPATCH(FoldSumsOn)(high, low, count, unit, offset, reference, maxima);
}

int64_t SelectFrom(const float* numbers, int64_t count, float least, int32_t* which) {
  return HWY_DYNAMIC_DISPATCH(SelectFromOn)(numbers, count, least, which);
}

}  // namespace cairn
#endif
