#include "kernels/key_sketch.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/dtype.h"
#include "kernels/block_rows.h"
#include "kernels/key_sketch_layout.h"

namespace cairn {
namespace {

constexpr float kCodes = 15;      // the largest code
constexpr float kOffCodes = 255;  // the largest of a row's distance
constexpr float kLargestHalf = 65504;

uint16_t HalfWithin(float number) {
  return FloatToHalf(std::clamp(number, -kLargestHalf, kLargestHalf));
}

/// The smallest f16 that is no less than a number, which is not negative; the largest f16 if there
/// is none.
uint16_t HalfNotBelow(float number) {
  const uint16_t half = HalfWithin(number);
  const float nearest = HalfToFloat(half);
  return nearest < number && nearest < kLargestHalf ? half + 1 : half;
}

/// Writes where channels begin and how long their steps are, and tells both.
void SketchChannels(const BlockShape& shape, const std::byte* payload, std::byte* sketch,
                    float* lows, float* steps) {
  const KeySketchLayout layout(shape);
  float key[kMaxHeadDim], highs[kMaxHeadDim];
  ReadKey(shape, payload, 0, lows);
  std::copy_n(lows, layout.dim, highs);
  for (int32_t t = 1; t < shape.block_rows; ++t) {
    ReadKey(shape, payload, t, key);
    for (size_t c = 0; c < layout.dim; ++c) {
      lows[c] = std::min(lows[c], key[c]);
      highs[c] = std::max(highs[c], key[c]);
    }
  }
  for (size_t c = 0; c < layout.dim; ++c) {
    const uint16_t low = HalfWithin(lows[c]);
    lows[c] = HalfToFloat(low);
    const uint16_t step = HalfNotBelow(std::max(0.0f, highs[c] - lows[c]) / kCodes);
    steps[c] = HalfToFloat(step);
    std::memcpy(sketch + c * sizeof low, &low, sizeof low);
    std::memcpy(sketch + layout.steps() + c * sizeof step, &step, sizeof step);
  }
}

}  // namespace

size_t KeySketchBytes(const BlockShape& shape) { return KeySketchLayout(shape).bytes(); }

void SketchKeys(const BlockShape& shape, const std::byte* payload, std::byte* sketch) {
  CAIRN_CHECK(shape.head_dim <= kMaxHeadDim && shape.block_rows <= kMaxBlockRows);
  const KeySketchLayout layout(shape);
  std::memset(sketch, 0, layout.bytes());
  float lows[kMaxHeadDim], steps[kMaxHeadDim], key[kMaxHeadDim];
  SketchChannels(shape, payload, sketch, lows, steps);
  auto* codes = reinterpret_cast<uint8_t*>(sketch + layout.codes());
  double off[kMaxBlockRows], farthest = 0;
  for (size_t t = 0; t < layout.rows; ++t) {
    ReadKey(shape, payload, static_cast<int32_t>(t), key);
    const unsigned shift = t < layout.half ? 0 : 4;
    double squares = 0;
    for (size_t c = 0; c < layout.dim; ++c) {
      const float nearest = steps[c] > 0 ? std::round((key[c] - lows[c]) / steps[c]) : 0;
      const float code = std::clamp(nearest, 0.0f, kCodes);
      const double miss =
          static_cast<double>(key[c]) - lows[c] - static_cast<double>(code) * steps[c];
      squares += miss * miss;
      codes[c * layout.half + t % layout.half] |=
          static_cast<uint8_t>(static_cast<unsigned>(code) << shift);
    }
    off[t] = std::sqrt(squares);
    farthest = std::max(farthest, off[t]);
  }
  constexpr double kSlack = 1 + 1e-5;  // of rounding to f32
  const auto unit = static_cast<float>(farthest / kOffCodes * kSlack);
  std::memcpy(sketch + layout.unit(), &unit, sizeof unit);
  for (size_t t = 0; t < layout.rows && unit > 0; ++t) {
    const double code = std::min<double>(std::ceil(off[t] / unit), kOffCodes);
    sketch[layout.off() + t] = static_cast<std::byte>(code);
  }
}

namespace {

/// Scores of one block's rows: Σ_c q[c] · (low[c] + code · step[c]).
void ScoreRows(const KeySketchLayout& layout, const std::byte* sketch, const float* query,
               float* scores) {
  const auto* codes = reinterpret_cast<const uint8_t*>(sketch + layout.codes());
  std::fill_n(scores, layout.rows, 0.0f);
  for (size_t c = 0; c < layout.dim; ++c) {
    uint16_t low = 0, step = 0;
    std::memcpy(&low, sketch + c * sizeof low, sizeof low);
    std::memcpy(&step, sketch + layout.steps() + c * sizeof step, sizeof step);
    for (size_t t = 0; t < layout.rows; ++t) {
      const unsigned both = codes[c * layout.half + t % layout.half];
      const auto code = static_cast<float>(t < layout.half ? both & 15u : both >> 4u);
      scores[t] += query[c] * (HalfToFloat(low) + code * HalfToFloat(step));
    }
  }
}

float LogSumOfExp(const float* scores, size_t count) {
  const float highest = *std::max_element(scores, scores + count);
  float sum = 0;
  for (size_t i = 0; i < count; ++i) sum += std::exp(scores[i] - highest);
  return highest + std::log(sum);
}

}  // namespace

void WeighSketchesReference(const SketchParams& params) {
  const KeySketchLayout layout(params.shape);
  CAIRN_CHECK(params.shape.block_rows <= kMaxBlockRows);
  float scores[kMaxBlockRows];
  for (int32_t r = 0; r < params.rows; ++r) {
    const float* query = params.queries + static_cast<size_t>(r) * layout.dim;
    float squares = 0;
    for (size_t c = 0; c < layout.dim; ++c) squares += query[c] * query[c];
    for (int64_t i = 0; i < params.count; ++i) {
      const std::byte* sketch = params.sketches + static_cast<size_t>(i) * layout.bytes();
      ScoreRows(layout, sketch, query, scores);
      params.estimates[r * params.stride + i] = LogSumOfExp(scores, layout.rows);
      float unit = 0;
      std::memcpy(&unit, sketch + layout.unit(), sizeof unit);
      for (size_t t = 0; t < layout.rows; ++t) {
        scores[t] += std::sqrt(squares) * unit * static_cast<float>(sketch[layout.off() + t]);
      }
      params.bounds[r * params.stride + i] = LogSumOfExp(scores, layout.rows);
    }
  }
}

}  // namespace cairn
