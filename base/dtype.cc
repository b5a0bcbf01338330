#include "base/dtype.h"

#include <bit>
#include <cstring>

#include "base/check.h"

namespace cairn {
namespace {

// GCC lowers _Float16 conversions to F16C or AVX-512 where the clone's target has them.
#define CAIRN_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#ifdef CAIRN_SANITIZED
#undef CAIRN_CLONES  // resolvers of clones run before the sanitizers are ready
#define CAIRN_CLONES
#endif

#ifdef __clang__
using Half =
    __fp16;  // can be stored and converted, not passed; _Float16 is not there for every CPU
#else
using Half = _Float16;
#endif

inline float FloatOf(uint16_t bits) {
  Half half;
  std::memcpy(&half, &bits, sizeof half);
  return static_cast<float>(half);
}

inline uint16_t BitsOf(float value) {
  const Half half = static_cast<Half>(value);
  uint16_t bits;
  std::memcpy(&bits, &half, sizeof bits);
  return bits;
}

/// Arrays of 16 bits may begin at any byte.
using Packed16 [[gnu::aligned(1)]] = uint16_t;

CAIRN_CLONES void HalvesToFloats(const Packed16* source, float* target, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    target[i] = FloatOf(source[i]);
  }
}

CAIRN_CLONES void FloatsToHalves(const float* source, Packed16* target, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    target[i] = BitsOf(source[i]);
  }
}

CAIRN_CLONES void Bf16sToFloats(const Packed16* source, float* target, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    target[i] = std::bit_cast<float>(static_cast<uint32_t>(source[i]) << 16);
  }
}

inline uint16_t RoundToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return static_cast<uint16_t>(nan ? (bits >> 16) | 0x40u : rounded);
}

CAIRN_CLONES void FloatsToBf16s(const float* source, Packed16* target, size_t count) {
  for (size_t i = 0; i < count; ++i) target[i] = RoundToBf16(source[i]);
}

}  // namespace

std::string_view DTypeName(DType type) {
  switch (type) {
    case DType::kF32:
      return "f32";
    case DType::kF16:
      return "f16";
    case DType::kBF16:
      return "bf16";
    case DType::kQ8:
      return "q8";
  }
  return "unknown";
}

Result<DType> ParseDType(std::string_view text) {
  if (text == "f32") return DType::kF32;
  if (text == "f16") return DType::kF16;
  if (text == "bf16") return DType::kBF16;
  if (text == "q8") return DType::kQ8;
  return Fail(Errc::kInvalidArgument, "'{}' is not an element type; use f32, f16, bf16 or q8",
              text);
}

float HalfToFloat(uint16_t half) { return FloatOf(half); }
uint16_t FloatToHalf(float value) { return BitsOf(value); }
float Bf16ToFloat(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}
uint16_t FloatToBf16(float value) { return RoundToBf16(value); }

void ConvertToFloat(DType type, const void* source, float* target, size_t count) {
  CAIRN_CHECK(type != DType::kQ8);
  if (type == DType::kF32) std::memcpy(target, source, count * sizeof(float));
  if (type == DType::kF16) HalvesToFloats(static_cast<const Packed16*>(source), target, count);
  if (type == DType::kBF16) Bf16sToFloats(static_cast<const Packed16*>(source), target, count);
}

void ConvertFromFloat(DType type, const float* source, void* target, size_t count) {
  CAIRN_CHECK(type != DType::kQ8);
  if (type == DType::kF32) std::memcpy(target, source, count * sizeof(float));
  if (type == DType::kF16) FloatsToHalves(source, static_cast<Packed16*>(target), count);
  if (type == DType::kBF16) FloatsToBf16s(source, static_cast<Packed16*>(target), count);
}

}  // namespace cairn
