#include "index/code_numbers.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "index/code_numbers.cc"
// foreach_target.h comes before all other headers of Highway.
// clang-format off
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace cairn {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using VF = hn::Vec<DF>;
using DI = hn::RebindToSigned<DF>;
inline constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(DF()));
inline constexpr float kLargestCode = 127.0f;

// Halves throughout, because the range of two finite numbers may be infinite.

float LeastScaleOn(const float* HWY_RESTRICT vector, const CodeSteps& steps) {
  const DF d;
  const auto half = hn::Set(d, 0.5f);
  VF top = hn::Zero(d);
  int64_t i = 0;
  for (; i + kLanes <= steps.dim; i += kLanes) {
    const VF offset = hn::Mul(hn::LoadU(d, steps.centre + i), half);
    const VF distance = hn::Abs(hn::Sub(hn::Mul(hn::LoadU(d, vector + i), half), offset));
    top = hn::Max(top, hn::Mul(distance, hn::LoadU(d, steps.inverse + i)));
  }
  float most = hn::GetLane(hn::MaxOfLanes(d, top));
  for (; i < steps.dim; ++i) {
    const float distance = std::fabs(vector[i] * 0.5f - steps.centre[i] * 0.5f);
    most = HWY_MAX(most, distance * steps.inverse[i]);
  }
  return HWY_MIN(most / (0.5f * kLargestCode), 3e38f);
}

void EncodeNumbersOn(const float* HWY_RESTRICT vector, float scale, const CodeSteps& steps,
                     uint8_t* HWY_RESTRICT codes) {
  const DF d;
  const DI di;
  const hn::Rebind<uint8_t, DF> d8;
  const float per_half = scale < 1e-36f ? 0.0f : 2.0f / scale;  // times 1 / step it is finite
  const auto half = hn::Set(d, 0.5f);
  int64_t i = 0;
  for (; i + kLanes <= steps.dim; i += kLanes) {
    const VF offset = hn::Mul(hn::LoadU(d, steps.centre + i), half);
    const VF distance = hn::Sub(hn::Mul(hn::LoadU(d, vector + i), half), offset);
    const VF factor = hn::Mul(hn::LoadU(d, steps.inverse + i), hn::Set(d, per_half));
    const VF code = hn::Min(hn::Max(hn::Mul(distance, factor), hn::Set(d, -kLargestCode)),
                            hn::Set(d, kLargestCode));
    // A half is added, as what is converted is cut off; 128 keeps it positive.
    const auto number = hn::ConvertTo(di, hn::Add(code, hn::Set(d, 128.5f)));
    hn::StoreU(hn::DemoteTo(d8, number), d8, codes + i);
  }
  for (; i < steps.dim; ++i) {
    const float distance = vector[i] * 0.5f - steps.centre[i] * 0.5f;
    const float code = distance * (steps.inverse[i] * per_half);
    codes[i] = static_cast<uint8_t>(
        static_cast<int>(HWY_MIN(HWY_MAX(code, -kLargestCode), kLargestCode) + 128.5f));
  }
}

void DecodeNumbersOn(const uint8_t* HWY_RESTRICT codes, float scale, const CodeSteps& steps,
                     float* HWY_RESTRICT vector) {
  const DF d;
  const DI di;
  const hn::Rebind<uint8_t, DF> d8;
  const float half_scale = 0.5f * scale;
  const auto half = hn::Set(d, 0.5f);
  int64_t i = 0;
  for (; i + kLanes <= steps.dim; i += kLanes) {
    const auto number = hn::PromoteTo(di, hn::LoadU(d8, codes + i));
    const VF code = hn::ConvertTo(d, hn::Sub(number, hn::Set(di, 128)));
    const VF step = hn::Mul(hn::LoadU(d, steps.step + i), hn::Set(d, half_scale));
    const VF offset = hn::Mul(hn::LoadU(d, steps.centre + i), half);
    const VF sum = hn::Add(offset, hn::Mul(code, step));
    hn::StoreU(hn::Add(sum, sum), d, vector + i);
  }
  for (; i < steps.dim; ++i) {
    const auto code = static_cast<float>(codes[i] - 128);
    vector[i] = 2.0f * (steps.centre[i] * 0.5f + code * (steps.step[i] * half_scale));
  }
}

int64_t NearestOfOn(const float* HWY_RESTRICT squares, const float* HWY_RESTRICT products,
                    int64_t count) {
  const DF d;
  const DI di;
  const auto minus_two = hn::Set(d, -2.0f);
  auto nearest = hn::Set(d, HUGE_VALF);
  auto where = hn::Zero(di);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const VF distance =
        hn::MulAdd(hn::LoadU(d, products + i), minus_two, hn::LoadU(d, squares + i));
    const auto less = hn::Lt(distance, nearest);
    nearest = hn::IfThenElse(less, distance, nearest);
    where = hn::IfThenElse(hn::RebindMask(di, less), hn::Iota(di, static_cast<int32_t>(i)), where);
  }
  HWY_ALIGN float distances[16];
  HWY_ALIGN int32_t places[16];
  hn::Store(nearest, d, distances);
  hn::Store(where, di, places);
  float least = HUGE_VALF;
  int64_t best = 0;
  for (int64_t lane = 0; lane < kLanes && i > 0; ++lane) {
    const bool first = distances[lane] == least && places[lane] < best;
    if (!(distances[lane] < least) && !first) continue;
    least = distances[lane];
    best = places[lane];
  }
  for (; i < count; ++i) {
    const float distance = std::fma(products[i], -2.0f, squares[i]);
    if (!(distance < least)) continue;
    least = distance;
    best = i;
  }
  return best;
}

}  // namespace HWY_NAMESPACE
}  // namespace cairn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn {

HWY_EXPORT(LeastScaleOn);
HWY_EXPORT(EncodeNumbersOn);
HWY_EXPORT(DecodeNumbersOn);
HWY_EXPORT(NearestOfOn);

float LeastScale(const float* vector, const CodeSteps& steps) {
  return HWY_DYNAMIC_DISPATCH(LeastScaleOn)(vector, steps);
}

void EncodeNumbers(const float* vector, float scale, const CodeSteps& steps, uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(EncodeNumbersOn)(vector, scale, steps, codes);
}

void DecodeNumbers(const uint8_t* codes, float scale, const CodeSteps& steps, float* vector) {
  HWY_DYNAMIC_DISPATCH(DecodeNumbersOn)(codes, scale, steps, vector);
}

int64_t NearestOf(const float* squares, const float* products, int64_t count) {
  return HWY_DYNAMIC_DISPATCH(NearestOfOn)(squares, products, count);
}

}  // namespace cairn
#endif
