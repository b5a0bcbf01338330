#include "model/activations.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/activations.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace cairn {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;

void RmsNormImpl(const float* x, const float* weight, float epsilon, int64_t n, float* y) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto sums = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto v = hn::LoadU(d, x + i);
    sums = hn::MulAdd(v, v, sums);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (int64_t j = i; j < n; ++j) sum += x[j] * x[j];
  const float factor = 1.0f / std::sqrt(sum / static_cast<float>(n) + epsilon);
  const auto factors = hn::Set(d, factor);
  for (i = 0; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + i), factors), hn::LoadU(d, weight + i)), d, y + i);
  }
  for (; i < n; ++i) y[i] = x[i] * factor * weight[i];
}

void SwiGluImpl(const float* gate, const float* up, int64_t n, float* y) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto one = hn::Set(d, 1.0f);
  const auto highest = hn::Set(d, 88.0f);  // Exp is wrong, not infinite, beyond what f32 holds
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto g = hn::LoadU(d, gate + i);
    const auto denominator = hn::Add(one, hn::Exp(d, hn::Min(hn::Neg(g), highest)));
    hn::StoreU(hn::Mul(hn::Div(g, denominator), hn::LoadU(d, up + i)), d, y + i);
  }
  for (; i < n; ++i) y[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

void AddInPlaceImpl(float* x, const float* y, int64_t n) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, x + i);
  }
  for (; i < n; ++i) x[i] += y[i];
}

float LogSumExpImpl(const float* x, int64_t n) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  float highest = -INFINITY;
  auto highests = hn::Set(d, highest);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) highests = hn::Max(highests, hn::LoadU(d, x + i));
  highest = hn::GetLane(hn::MaxOfLanes(d, highests));
  for (; i < n; ++i) highest = x[i] > highest ? x[i] : highest;
  if (highest == -INFINITY) return highest;
  const auto shift = hn::Set(d, highest);
  auto sums = hn::Zero(d);
  for (i = 0; i + lanes <= n; i += lanes) {
    sums = hn::Add(sums, hn::Exp(d, hn::Sub(hn::LoadU(d, x + i), shift)));
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; i < n; ++i) sum += std::exp(x[i] - highest);
  return highest + std::log(sum);
}

}  // namespace HWY_NAMESPACE
}  // namespace cairn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn {

HWY_EXPORT(RmsNormImpl);
HWY_EXPORT(SwiGluImpl);
HWY_EXPORT(AddInPlaceImpl);
HWY_EXPORT(LogSumExpImpl);

void RmsNorm(const float* x, const float* weight, float epsilon, int64_t n, float* y) {
  HWY_DYNAMIC_DISPATCH(RmsNormImpl)(x, weight, epsilon, n, y);
}
void SwiGlu(const float* gate, const float* up, int64_t n, float* y) {
  HWY_DYNAMIC_DISPATCH(SwiGluImpl)(gate, up, n, y);
}
void AddInPlace(float* x, const float* y, int64_t n) {
  HWY_DYNAMIC_DISPATCH(AddInPlaceImpl)(x, y, n);
}
void FinishHeads(const HeadWeights& weights, const HeadCounts& heads, float* row) {
  const int64_t dim = heads.head_dim;
  if (weights.bias != nullptr) AddInPlace(row, weights.bias, heads.total() * dim);
  const auto norm = [&](const float* weight, int64_t count) {
    for (int64_t head = 0; head < count; ++head, row += dim) {
      if (weight != nullptr) RmsNorm(row, weight, weights.epsilon, dim, row);
    }
  };
  norm(weights.query_norm, heads.query_heads);
  norm(weights.key_norm, heads.kv_heads);
}
float LogSumExp(const float* x, int64_t n) { return HWY_DYNAMIC_DISPATCH(LogSumExpImpl)(x, n); }

}  // namespace cairn
#endif  // HWY_ONCE
