// Element types of keys, values and landmarks, and conversion of arrays between them and float.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace cairn {

/// kQ8: whole numbers of one byte, which mean something beside scales that lie elsewhere.
enum class DType : uint8_t { kF32 = 0, kF16 = 1, kBF16 = 2, kQ8 = 3 };

constexpr size_t DTypeBytes(DType type) {
  return type == DType::kF32 ? 4 : type == DType::kQ8 ? 1 : 2;
}
std::string_view DTypeName(DType type);
/// "f32", "f16", "bf16" or "q8"; kInvalidArgument naming the text otherwise.
Result<DType> ParseDType(std::string_view text);

/// Conversion of one number; halves and bfloats round to nearest even, NaN stays NaN.
float HalfToFloat(uint16_t half);
uint16_t FloatToHalf(float value);
float Bf16ToFloat(uint16_t value);
uint16_t FloatToBf16(float value);

/// Conversion of `count` elements of any type but kQ8. `source` and `target` do not overlap; no
/// alignment is needed.
void ConvertToFloat(DType type, const void* source, float* target, size_t count);
void ConvertFromFloat(DType type, const float* source, void* target, size_t count);

}  // namespace cairn
