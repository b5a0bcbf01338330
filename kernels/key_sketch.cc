#include "kernels/key_sketch.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/dtype.h"
#include "kernels/block_rows.h"

namespace cairn {
namespace {

constexpr float kCodes = 15;      // the largest code
constexpr float kOffCodes = 255;  // the largest of a row's distance
constexpr float kLargestHalf = 65504;

// f16 low[D], f16 step[D], f32 unit, u8 off[B], then the codes, dimension by dimension: of rows t
// and t + half in one byte. So a product adds a dimension to the sums of many rows at once.
struct Layout {
  explicit Layout(const BlockShape& shape)
      : dim(static_cast<size_t>(shape.head_dim)),
        rows(static_cast<size_t>(shape.block_rows)),
        half((rows + 1) / 2) {}

  size_t steps() const { return dim * sizeof(uint16_t); }
  size_t unit() const { return 2 * steps(); }
  size_t off() const { return unit() + sizeof(float); }
  size_t codes() const { return off() + rows; }
  size_t bytes() const { return codes() + dim * half; }

  size_t dim, rows, half;
};

/// The smallest f16 that is no less than a positive number; the largest f16 if there is none.
float HalfNotBelow(float number) {
  const uint16_t half = FloatToHalf(std::min(number, kLargestHalf));
  const float nearest = HalfToFloat(half);
  return nearest < number && nearest < kLargestHalf ? HalfToFloat(half + 1) : nearest;
}

}  // namespace

size_t KeySketchBytes(const BlockShape& shape) { return Layout(shape).bytes(); }

void SketchKeys(const BlockShape& shape, const std::byte* payload, std::byte* sketch) {
  CAIRN_CHECK(shape.head_dim <= kMaxHeadDim);
  const Layout layout(shape);
  std::vector<float> keys(layout.rows * layout.dim);
  for (size_t t = 0; t < layout.rows; ++t) {
    ReadKey(shape, payload, static_cast<int32_t>(t), keys.data() + t * layout.dim);
  }
  std::memset(sketch, 0, layout.bytes());
  auto* codes = reinterpret_cast<uint8_t*>(sketch + layout.codes());
  std::vector<double> squares(layout.rows, 0.0);
  for (size_t c = 0; c < layout.dim; ++c) {
    float low = keys[c], high = keys[c];
    for (size_t t = 1; t < layout.rows; ++t) {
      low = std::min(low, keys[t * layout.dim + c]);
      high = std::max(high, keys[t * layout.dim + c]);
    }
    const uint16_t stored_low = FloatToHalf(std::clamp(low, -kLargestHalf, kLargestHalf));
    low = HalfToFloat(stored_low);
    const float step = HalfNotBelow(std::max(0.0f, high - low) / kCodes);
    const uint16_t stored_step = FloatToHalf(step);
    std::memcpy(sketch + c * sizeof(uint16_t), &stored_low, sizeof stored_low);
    std::memcpy(sketch + layout.steps() + c * sizeof(uint16_t), &stored_step, sizeof stored_step);
    for (size_t t = 0; t < layout.rows; ++t) {
      const float key = keys[t * layout.dim + c];
      const float code = step > 0 ? std::clamp(std::round((key - low) / step), 0.0f, kCodes) : 0;
      const double miss = static_cast<double>(key) - (low + static_cast<double>(code) * step);
      squares[t] += miss * miss;
      const int shift = t < layout.half ? 0 : 4;
      codes[c * layout.half + t % layout.half] |=
          static_cast<uint8_t>(static_cast<uint32_t>(code) << shift);
    }
  }
  constexpr double kSlack = 1 + 1e-5;  // of rounding to f32
  const double farthest = std::sqrt(*std::ranges::max_element(squares));
  const auto unit = static_cast<float>(farthest / kOffCodes * kSlack);
  std::memcpy(sketch + layout.unit(), &unit, sizeof unit);
  for (size_t t = 0; t < layout.rows; ++t) {
    const double off = unit > 0 ? std::ceil(std::sqrt(squares[t]) / unit) : 0;
    sketch[layout.off() + t] = static_cast<std::byte>(std::min<double>(off, kOffCodes));
  }
}

namespace {

/// Scores of one block's rows: Σ_c q[c] · (low[c] + code · step[c]).
void ScoreRows(const Layout& layout, const std::byte* sketch, const float* query, float* scores) {
  const auto* codes = reinterpret_cast<const uint8_t*>(sketch + layout.codes());
  float base = 0;
  std::fill(scores, scores + 2 * layout.half, 0.0f);
  for (size_t c = 0; c < layout.dim; ++c) {
    uint16_t low = 0, step = 0;
    std::memcpy(&low, sketch + c * sizeof low, sizeof low);
    std::memcpy(&step, sketch + layout.steps() + c * sizeof step, sizeof step);
    base += query[c] * HalfToFloat(low);
    const float factor = query[c] * HalfToFloat(step);
    const uint8_t* column = codes + c * layout.half;
    for (size_t t = 0; t < layout.half; ++t) {
      scores[t] += factor * static_cast<float>(column[t] & 15u);
      scores[layout.half + t] += factor * static_cast<float>(column[t] >> 4u);
    }
  }
  for (size_t t = 0; t < layout.rows; ++t) scores[t] += base;
}

float LogSumOfExp(const float* scores, size_t count) {
  const float highest = *std::max_element(scores, scores + count);
  float sum = 0;
  for (size_t i = 0; i < count; ++i) sum += std::exp(scores[i] - highest);
  return highest + std::log(sum);
}

float Length(const float* query, size_t dim) {
  double squares = 0;
  for (size_t c = 0; c < dim; ++c) squares += static_cast<double>(query[c]) * query[c];
  return static_cast<float>(std::sqrt(squares));
}

}  // namespace

void WeighSketches(const SketchParams& params) {
  const Layout layout(params.shape);
  std::vector<float> scores(2 * layout.half);
  for (int32_t r = 0; r < params.rows; ++r) {
    const float* query = params.queries + static_cast<size_t>(r) * layout.dim;
    const float length = Length(query, layout.dim);
    for (int64_t i = 0; i < params.count; ++i) {
      const std::byte* sketch = params.sketches + static_cast<size_t>(i) * layout.bytes();
      ScoreRows(layout, sketch, query, scores.data());
      params.estimates[r * params.stride + i] = LogSumOfExp(scores.data(), layout.rows);
      float unit = 0;
      std::memcpy(&unit, sketch + layout.unit(), sizeof unit);
      for (size_t t = 0; t < layout.rows; ++t) {
        scores[t] += length * unit * static_cast<float>(sketch[layout.off() + t]);
      }
      params.bounds[r * params.stride + i] = LogSumOfExp(scores.data(), layout.rows);
    }
  }
}

}  // namespace cairn
