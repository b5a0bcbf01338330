#include "kernels/block_rows.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace cairn {
namespace {

constexpr float kLargestCode = 127.0f;

void ReadRow(const BlockShape& shape, const std::byte* payload, size_t offset, size_t scales,
             float* row) {
  if (shape.dtype != DType::kQ8) {
    ConvertToFloat(shape.dtype, payload + offset, row, static_cast<size_t>(shape.head_dim));
    return;
  }
  const auto* codes = reinterpret_cast<const int8_t*>(payload + offset);
  std::memcpy(row, payload + scales, static_cast<size_t>(shape.head_dim) * sizeof(float));
  for (int32_t c = 0; c < shape.head_dim; ++c) row[c] *= static_cast<float>(codes[c]);
}

size_t ValueScales(const BlockShape& shape) {
  return shape.scales_offset() + static_cast<size_t>(shape.head_dim) * sizeof(float);
}

/// The nearest whole number to x, which is in [−127, 127], in a byte.
int8_t Rounded(float x) {
  constexpr float kShift = 12582912.0f;  // 1.5 · 2^23: floats of this size are whole numbers
  return static_cast<int8_t>(std::bit_cast<uint32_t>(x + kShift) & 0xffu);
}

/// One of K and V: `from` [B, D] of the open type, to `codes` [B, D] and `scales` [D].
void SealRows(const BlockShape& shape, const std::byte* from, std::byte* codes, std::byte* scales) {
  const BlockShape open = shape.open();
  const auto dim = static_cast<size_t>(shape.head_dim);
  float row[kMaxHeadDim];
  float factors[kMaxHeadDim] = {};
  for (int32_t t = 0; t < shape.block_rows; ++t) {
    ConvertToFloat(open.dtype, from + open.key_offset(t), row, dim);
    for (size_t c = 0; c < dim; ++c) {
      const float magnitude = std::fabs(row[c]);
      factors[c] = magnitude > factors[c] ? magnitude : factors[c];
    }
  }
  for (size_t c = 0; c < dim; ++c) row[c] = factors[c] / kLargestCode;
  std::memcpy(scales, row, dim * sizeof(float));
  for (size_t c = 0; c < dim; ++c) factors[c] = factors[c] > 0 ? kLargestCode / factors[c] : 0;
  for (int32_t t = 0; t < shape.block_rows; ++t) {
    ConvertToFloat(open.dtype, from + open.key_offset(t), row, dim);
    auto* target = reinterpret_cast<int8_t*>(codes + shape.key_offset(t));
    for (size_t c = 0; c < dim; ++c) target[c] = Rounded(row[c] * factors[c]);
  }
}

}  // namespace

void ReadKey(const BlockShape& shape, const std::byte* payload, int32_t row, float* key) {
  ReadRow(shape, payload, shape.key_offset(row), shape.scales_offset(), key);
}

void ReadValue(const BlockShape& shape, const std::byte* payload, int32_t row, float* value) {
  ReadRow(shape, payload, shape.value_offset(row), ValueScales(shape), value);
}

void SealBlock(const BlockShape& shape, const std::byte* open, std::byte* payload) {
  CAIRN_CHECK(shape.dtype == DType::kQ8 && shape.head_dim <= kMaxHeadDim);
  SealRows(shape, open, payload, payload + shape.scales_offset());
  SealRows(shape, open + shape.open().value_offset(0), payload + shape.value_offset(0),
           payload + ValueScales(shape));
}

}  // namespace cairn
