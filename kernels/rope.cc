#include "kernels/rope.h"

#include <cmath>

#include "base/check.h"

namespace cairn {

RopeTable::RopeTable(RopeStyle style, std::span<const double> inverse_frequencies)
    : style_(style), inverse_frequencies_(inverse_frequencies.begin(), inverse_frequencies.end()) {
  CAIRN_CHECK(!inverse_frequencies_.empty());
}

std::vector<double> RopeTable::InverseFrequencies(double base, int32_t head_dim) {
  CAIRN_CHECK(head_dim >= 2 && head_dim % 2 == 0);
  std::vector<double> frequencies(static_cast<size_t>(head_dim / 2));
  for (size_t c = 0; c < frequencies.size(); ++c) {
    frequencies[c] = std::pow(base, -2.0 * static_cast<double>(c) / head_dim);
  }
  return frequencies;
}

void RopeTable::Reserve(int32_t positions) {
  if (positions <= positions_) return;
  const size_t half = inverse_frequencies_.size();
  table_.resize(static_cast<size_t>(positions) * 2 * half);
  for (int32_t p = positions_; p < positions; ++p) {
    float* row = table_.data() + static_cast<size_t>(p) * 2 * half;
    for (size_t c = 0; c < half; ++c) {
      const double angle = p * inverse_frequencies_[c];
      row[c] = static_cast<float>(std::cos(angle));
      row[half + c] = static_cast<float>(std::sin(angle));
    }
  }
  positions_ = positions;
}

void RopeTable::Rotate(int32_t position, const float* x, float* y) const {
  CAIRN_CHECK(position >= 0 && position < positions_);
  const int32_t half = head_dim() / 2;
  const float* cosines = at(position);
  const float* sines = cosines + half;
  const int32_t step = style_ == RopeStyle::kHalfSplit ? 1 : 2;      // between pairs
  const int32_t apart = style_ == RopeStyle::kHalfSplit ? half : 1;  // inside a pair
  for (int32_t c = 0; c < half; ++c) {
    const float a = x[c * step];
    const float b = x[c * step + apart];
    y[c * step] = a * cosines[c] - b * sines[c];
    y[c * step + apart] = b * cosines[c] + a * sines[c];
  }
}

}  // namespace cairn
