#include "model/quants.h"

#include <array>
#include <cstring>

#include "base/check.h"
#include "base/dtype.h"

namespace cairn {
namespace {

struct TypeRow {
  GgmlType type;
  std::string_view name;
  GgmlBlock block;
};

constexpr std::array<TypeRow, 34> kTypes{{
    {GgmlType::kF32, "F32", {1, 4}},
    {GgmlType::kF16, "F16", {1, 2}},
    {GgmlType::kQ4_0, "Q4_0", {32, 18}},
    {GgmlType::kQ4_1, "Q4_1", {32, 20}},
    {GgmlType::kQ5_0, "Q5_0", {32, 22}},
    {GgmlType::kQ5_1, "Q5_1", {32, 24}},
    {GgmlType::kQ8_0, "Q8_0", {32, 34}},
    {GgmlType::kQ8_1, "Q8_1", {32, 36}},
    {GgmlType::kQ2_K, "Q2_K", {256, 84}},
    {GgmlType::kQ3_K, "Q3_K", {256, 110}},
    {GgmlType::kQ4_K, "Q4_K", {256, 144}},
    {GgmlType::kQ5_K, "Q5_K", {256, 176}},
    {GgmlType::kQ6_K, "Q6_K", {256, 210}},
    {GgmlType::kQ8_K, "Q8_K", {256, 292}},
    {GgmlType::kIQ2_XXS, "IQ2_XXS", {256, 66}},
    {GgmlType::kIQ2_XS, "IQ2_XS", {256, 74}},
    {GgmlType::kIQ3_XXS, "IQ3_XXS", {256, 98}},
    {GgmlType::kIQ1_S, "IQ1_S", {256, 50}},
    {GgmlType::kIQ4_NL, "IQ4_NL", {32, 18}},
    {GgmlType::kIQ3_S, "IQ3_S", {256, 110}},
    {GgmlType::kIQ2_S, "IQ2_S", {256, 82}},
    {GgmlType::kIQ4_XS, "IQ4_XS", {256, 136}},
    {GgmlType::kI8, "I8", {1, 1}},
    {GgmlType::kI16, "I16", {1, 2}},
    {GgmlType::kI32, "I32", {1, 4}},
    {GgmlType::kI64, "I64", {1, 8}},
    {GgmlType::kF64, "F64", {1, 8}},
    {GgmlType::kIQ1_M, "IQ1_M", {256, 56}},
    {GgmlType::kBF16, "BF16", {1, 2}},
    {GgmlType::kTQ1_0, "TQ1_0", {256, 54}},
    {GgmlType::kTQ2_0, "TQ2_0", {256, 66}},
    {GgmlType::kMXFP4, "MXFP4", {32, 17}},
    {GgmlType::kNVFP4, "NVFP4", {64, 36}},
    {GgmlType::kQ1_0, "Q1_0", {128, 18}},
}};

const TypeRow* FindType(uint32_t number) {
  for (const TypeRow& row : kTypes) {
    if (static_cast<uint32_t>(row.type) == number) return &row;
  }
  return nullptr;
}

inline float HalfAt(const uint8_t* bytes) {
  uint16_t half;
  std::memcpy(&half, bytes, sizeof(half));
  return HalfToFloat(half);
}

inline uint32_t Word32At(const uint8_t* bytes) {
  uint32_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

// Every function below turns one block into floats. In the small formats of 32 numbers byte i of
// the nibbles holds number i in its low and number 16 + i in its high half.

// scale f16, 32 signed bytes: x = scale * q.
void BlockQ8_0(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  for (int i = 0; i < 32; ++i) {
    out[i] = scale * static_cast<float>(static_cast<int8_t>(block[2 + i]));
  }
}

// scale f16, 16 bytes of nibbles: x = scale * (q - 8).
void BlockQ4_0(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  for (int i = 0; i < 16; ++i) {
    const int byte = block[2 + i];
    out[i] = scale * static_cast<float>((byte & 15) - 8);
    out[16 + i] = scale * static_cast<float>((byte >> 4) - 8);
  }
}

// scale f16, minimum f16, 16 bytes of nibbles: x = scale * q + minimum.
void BlockQ4_1(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  const float minimum = HalfAt(block + 2);
  for (int i = 0; i < 16; ++i) {
    const int byte = block[4 + i];
    out[i] = scale * static_cast<float>(byte & 15) + minimum;
    out[16 + i] = scale * static_cast<float>(byte >> 4) + minimum;
  }
}

// scale f16, 32 fifth bits, 16 bytes of nibbles: x = scale * (q - 16).
void BlockQ5_0(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  const uint32_t high = Word32At(block + 2);
  for (int i = 0; i < 16; ++i) {
    const int byte = block[6 + i];
    const int low_bit = static_cast<int>((high >> i) & 1u) << 4;
    const int high_bit = static_cast<int>((high >> (16 + i)) & 1u) << 4;
    out[i] = scale * static_cast<float>(((byte & 15) | low_bit) - 16);
    out[16 + i] = scale * static_cast<float>(((byte >> 4) | high_bit) - 16);
  }
}

// scale f16, minimum f16, 32 fifth bits, 16 bytes of nibbles: x = scale * q + minimum.
void BlockQ5_1(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  const float minimum = HalfAt(block + 2);
  const uint32_t high = Word32At(block + 4);
  for (int i = 0; i < 16; ++i) {
    const int byte = block[8 + i];
    const int low_bit = static_cast<int>((high >> i) & 1u) << 4;
    const int high_bit = static_cast<int>((high >> (16 + i)) & 1u) << 4;
    out[i] = scale * static_cast<float>((byte & 15) | low_bit) + minimum;
    out[16 + i] = scale * static_cast<float>((byte >> 4) | high_bit) + minimum;
  }
}

// The 8 scales and 8 minimums of a 256-number block, 6 bits each, in 12 bytes: bytes 0-3 hold
// scales 0-3 and bytes 4-7 minimums 0-3 in their low 6 bits; bytes 8-11 hold the low 4 bits of
// scales (low half) and minimums (high half) 4-7, whose top 2 bits are the top bits of bytes 0-7.
struct SixBits {
  int scale;
  int minimum;
};
SixBits SixBitsAt(const uint8_t* packed, int group) {
  if (group < 4) return {packed[group] & 63, packed[group + 4] & 63};
  return {(packed[group + 4] & 15) | ((packed[group - 4] >> 6) << 4),
          (packed[group + 4] >> 4) | ((packed[group] >> 6) << 4)};
}

// scale f16, minimum f16, 12 bytes of six-bit pairs, 128 bytes of nibbles. Each 32 bytes hold two
// groups of 32: the first in the low halves. x = scale * s * q - minimum * m.
void BlockQ4_K(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  const float minimum = HalfAt(block + 2);
  const uint8_t* nibbles = block + 16;
  for (int group = 0; group < 8; ++group) {
    const SixBits bits = SixBitsAt(block + 4, group);
    const float group_scale = scale * static_cast<float>(bits.scale);
    const float group_minimum = minimum * static_cast<float>(bits.minimum);
    const uint8_t* source = nibbles + 32 * (group / 2);
    const int shift = 4 * (group % 2);
    for (int i = 0; i < 32; ++i) {
      out[32 * group + i] =
          group_scale * static_cast<float>((source[i] >> shift) & 15) - group_minimum;
    }
  }
}

// As Q4_K with 32 bytes of fifth bits before the nibbles: bit g of byte i belongs to number i of
// group g.
void BlockQ5_K(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  const float minimum = HalfAt(block + 2);
  const uint8_t* fifth = block + 16;
  const uint8_t* nibbles = block + 48;
  for (int group = 0; group < 8; ++group) {
    const SixBits bits = SixBitsAt(block + 4, group);
    const float group_scale = scale * static_cast<float>(bits.scale);
    const float group_minimum = minimum * static_cast<float>(bits.minimum);
    const uint8_t* source = nibbles + 32 * (group / 2);
    const int shift = 4 * (group % 2);
    for (int i = 0; i < 32; ++i) {
      const int number = ((source[i] >> shift) & 15) | (((fifth[i] >> group) & 1) << 4);
      out[32 * group + i] = group_scale * static_cast<float>(number) - group_minimum;
    }
  }
}

// 128 bytes of nibbles, 64 bytes of high bit pairs, 16 signed scales, scale f16. Each half of 128
// numbers has 64 bytes of nibbles and 32 of pairs; its quarter j of 32 takes nibbles 32 * (j & 1)
// (high halves for j >= 2) and pair j of each byte. x = scale * s * (q - 32), one s per 16.
void BlockQ6_K(const uint8_t* block, float* out) {
  const float scale = HalfAt(block + 208);
  for (int half = 0; half < 2; ++half) {
    const uint8_t* low = block + 64 * half;
    const uint8_t* high = block + 128 + 32 * half;
    const uint8_t* scales = block + 192 + 8 * half;
    for (int quarter = 0; quarter < 4; ++quarter) {
      for (int i = 0; i < 32; ++i) {
        const int nibble = (low[32 * (quarter & 1) + i] >> (4 * (quarter >> 1))) & 15;
        const int number = (nibble | (((high[i] >> (2 * quarter)) & 3) << 4)) - 32;
        const auto group_scale =
            static_cast<float>(static_cast<int8_t>(scales[2 * quarter + i / 16]));
        out[128 * half + 32 * quarter + i] = scale * group_scale * static_cast<float>(number);
      }
    }
  }
}

using BlockFunction = void (*)(const uint8_t*, float*);

BlockFunction BlockFunctionOf(GgmlType type) {
  switch (type) {
    case GgmlType::kQ8_0:
      return BlockQ8_0;
    case GgmlType::kQ4_0:
      return BlockQ4_0;
    case GgmlType::kQ4_1:
      return BlockQ4_1;
    case GgmlType::kQ5_0:
      return BlockQ5_0;
    case GgmlType::kQ5_1:
      return BlockQ5_1;
    case GgmlType::kQ4_K:
      return BlockQ4_K;
    case GgmlType::kQ5_K:
      return BlockQ5_K;
    case GgmlType::kQ6_K:
      return BlockQ6_K;
    default:
      return nullptr;
  }
}

std::optional<DType> PlainTypeOf(GgmlType type) {
  if (type == GgmlType::kF32) return DType::kF32;
  if (type == GgmlType::kF16) return DType::kF16;
  if (type == GgmlType::kBF16) return DType::kBF16;
  return std::nullopt;
}

}  // namespace

std::optional<GgmlType> GgmlTypeFromNumber(uint32_t number) {
  const TypeRow* row = FindType(number);
  return row == nullptr ? std::nullopt : std::optional<GgmlType>(row->type);
}

std::string_view GgmlTypeName(GgmlType type) {
  const TypeRow* row = FindType(static_cast<uint32_t>(type));
  return row == nullptr ? "?" : row->name;
}

GgmlBlock GgmlBlockOf(GgmlType type) {
  const TypeRow* row = FindType(static_cast<uint32_t>(type));
  CAIRN_CHECK(row != nullptr);
  return row->block;
}

bool CanDequantize(GgmlType type) {
  return PlainTypeOf(type).has_value() || BlockFunctionOf(type) != nullptr;
}

Status Dequantize(GgmlType type, const std::byte* data, int64_t count, float* out) {
  if (!CanDequantize(type)) {
    return Fail(Errc::kUnsupported,
                "weights of type {} are not supported; convert the file to F16, BF16, Q8_0, Q4_0, "
                "Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K",
                GgmlTypeName(type));
  }
  const GgmlBlock block = GgmlBlockOf(type);
  if (count < 0 || count % block.values != 0) {
    return Fail(Errc::kInvalidArgument, "{} numbers are not whole blocks of {} ({} numbers each)",
                count, GgmlTypeName(type), block.values);
  }
  if (const std::optional<DType> plain = PlainTypeOf(type)) {
    ConvertToFloat(*plain, data, out, static_cast<size_t>(count));
    return Ok();
  }
  const BlockFunction convert = BlockFunctionOf(type);
  const auto* source = reinterpret_cast<const uint8_t*>(data);
  for (int64_t i = 0; i < count; i += block.values, source += block.bytes) convert(source, out + i);
  return Ok();
}

}  // namespace cairn
