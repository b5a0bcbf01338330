// WeighSketches with vectors: codes of a channel become numbers once for several queries.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/dtype.h"
#include "kernels/key_sketch.h"
#include "kernels/key_sketch_layout.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/key_sketch_weigh.cc"
// foreach_target.h comes before all other headers of Highway.
// clang-format off
#include "hwy/foreach_target.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace cairn {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DI = hn::Rebind<int32_t, DF>;
using DB = hn::Rebind<uint8_t, DF>;
using VF = hn::Vec<DF>;

/// Adds channel after channel to scores [kQueries, stride] of rows [first, first + lanes) and of
/// those `half` behind; `factors` is [kQueries, D].
template <int kQueries>
HWY_INLINE void AddChannels(const KeySketchLayout& layout, const uint8_t* HWY_RESTRICT codes,
                            const float* HWY_RESTRICT factors, size_t first,
                            float* HWY_RESTRICT scores, size_t stride) {
  const DF d;
  const DI di;
  VF low[kQueries], high[kQueries];
  for (int r = 0; r < kQueries; ++r) {
    low[r] = hn::LoadU(d, scores + r * stride + first);
    high[r] = hn::LoadU(d, scores + r * stride + layout.half + first);
  }
  for (size_t c = 0; c < layout.dim; ++c) {
    const auto both = hn::PromoteTo(di, hn::LoadU(DB(), codes + c * layout.half + first));
    const VF near = hn::ConvertTo(d, hn::And(both, hn::Set(di, 15)));
    const VF far = hn::ConvertTo(d, hn::ShiftRight<4>(both));
    for (int r = 0; r < kQueries; ++r) {
      const VF factor = hn::Set(d, factors[r * layout.dim + c]);
      low[r] = hn::MulAdd(factor, near, low[r]);
      high[r] = hn::MulAdd(factor, far, high[r]);
    }
  }
  for (int r = 0; r < kQueries; ++r) {
    hn::StoreU(low[r], d, scores + r * stride + first);
    hn::StoreU(high[r], d, scores + r * stride + layout.half + first);
  }
}

float LogSumOfExpOn(const float* HWY_RESTRICT scores, size_t count) {
  const DF d;
  const size_t lanes = hn::Lanes(d), whole = count / lanes * lanes;
  VF top = hn::Set(d, scores[0]);
  for (size_t i = 0; i < whole; i += lanes) top = hn::Max(top, hn::LoadU(d, scores + i));
  float highest = hn::GetLane(hn::MaxOfLanes(d, top));
  for (size_t i = whole; i < count; ++i) highest = std::max(highest, scores[i]);
  VF sums = hn::Zero(d);
  for (size_t i = 0; i < whole; i += lanes) {
    sums = hn::Add(sums, hn::Exp(d, hn::Sub(hn::LoadU(d, scores + i), hn::Set(d, highest))));
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (size_t i = whole; i < count; ++i) sum += std::exp(scores[i] - highest);
  return highest + std::log(sum);
}

/// Estimates and bounds of `kQueries` rows from `row` on for one block.
template <int kQueries>
void WeighBlock(const SketchParams& params, const KeySketchLayout& layout, int64_t block,
                int32_t row, const float* lengths) {
  const std::byte* sketch = params.sketches + static_cast<size_t>(block) * layout.bytes();
  const auto* codes = reinterpret_cast<const uint8_t*>(sketch + layout.codes());
  const size_t stride = 2 * layout.half;
  float lows[kMaxHeadDim], steps[kMaxHeadDim], factors[kQueries * kMaxHeadDim];
  HWY_ALIGN float scores[kQueries * (kMaxBlockRows + 1)];
  ConvertToFloat(DType::kF16, sketch, lows, layout.dim);
  ConvertToFloat(DType::kF16, sketch + layout.steps(), steps, layout.dim);
  for (int r = 0; r < kQueries; ++r) {
    const float* query = params.queries + static_cast<size_t>(row + r) * layout.dim;
    float base = 0;
    for (size_t c = 0; c < layout.dim; ++c) {
      base += query[c] * lows[c];
      factors[r * layout.dim + c] = query[c] * steps[c];
    }
    std::fill_n(scores + r * stride, stride, base);
  }
  const size_t lanes = hn::Lanes(DF());
  size_t t = 0;
  for (; t + lanes <= layout.half; t += lanes) {
    AddChannels<kQueries>(layout, codes, factors, t, scores, stride);
  }
  for (size_t c = 0; c < layout.dim; ++c) {
    for (size_t rest = t; rest < layout.half; ++rest) {
      const unsigned both = codes[c * layout.half + rest];
      for (int r = 0; r < kQueries; ++r) {
        const float factor = factors[r * layout.dim + c];
        scores[r * stride + rest] += factor * static_cast<float>(both & 15u);
        scores[r * stride + layout.half + rest] += factor * static_cast<float>(both >> 4u);
      }
    }
  }
  float unit = 0;
  std::memcpy(&unit, sketch + layout.unit(), sizeof unit);
  for (int r = 0; r < kQueries; ++r) {
    float* own = scores + r * stride;
    const int64_t place = (row + r) * params.stride + block;
    params.estimates[place] = LogSumOfExpOn(own, layout.rows);
    const float off = lengths[r] * unit;
    for (size_t i = 0; i < layout.rows; ++i) {
      own[i] += off * static_cast<float>(sketch[layout.off() + i]);
    }
    params.bounds[place] = LogSumOfExpOn(own, layout.rows);
  }
}

template <int kQueries>
void WeighRows(const SketchParams& params, const KeySketchLayout& layout, int32_t row) {
  float lengths[kQueries];
  for (int r = 0; r < kQueries; ++r) {
    const float* query = params.queries + static_cast<size_t>(row + r) * layout.dim;
    float squares = 0;
    for (size_t c = 0; c < layout.dim; ++c) squares += query[c] * query[c];
    lengths[r] = std::sqrt(squares);
  }
  for (int64_t i = 0; i < params.count; ++i) WeighBlock<kQueries>(params, layout, i, row, lengths);
}

void WeighSketchesOn(const SketchParams& params) {
  const KeySketchLayout layout(params.shape);
  int32_t row = 0;
  for (; row + 4 <= params.rows; row += 4) WeighRows<4>(params, layout, row);
  if (row + 3 == params.rows) {
    WeighRows<3>(params, layout, row);
  } else {
    for (; row < params.rows; ++row) WeighRows<1>(params, layout, row);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace cairn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn {

HWY_EXPORT(WeighSketchesOn);

void WeighSketches(const SketchParams& params) {
  CAIRN_CHECK(params.shape.head_dim <= kMaxHeadDim && params.shape.block_rows <= kMaxBlockRows);
  HWY_DYNAMIC_DISPATCH(WeighSketchesOn)(params);
}

}  // namespace cairn
#endif
