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

// Every function below takes one block apart. In the small formats of 32 numbers byte i of the
// nibbles holds number i in its low and number 16 + i in its high half.

void SetOneGroup(float scale, float minimum, int32_t offset, QuantCodes* out) {
  out->group = 32;
  out->offset = offset;
  out->scales[0] = scale;
  out->minimums[0] = minimum;
}

void ReadNibbles(const uint8_t* nibbles, QuantCodes* out) {
  for (int i = 0; i < 16; ++i) {
    out->codes[i] = nibbles[i] & 15;
    out->codes[16 + i] = nibbles[i] >> 4;
  }
}

/// Adds bit i of `high` to number i as its fifth.
void AddFifthBits(uint32_t high, QuantCodes* out) {
  for (int i = 0; i < 32; ++i) out->codes[i] |= static_cast<uint8_t>(((high >> i) & 1u) << 4);
}

// scale f16, 32 signed bytes: x = scale * q.
void BlockQ8_0(const uint8_t* block, QuantCodes* out) {
  SetOneGroup(HalfAt(block), 0.0f, 128, out);
  for (int i = 0; i < 32; ++i) out->codes[i] = block[2 + i] ^ 0x80;
}

// scale f16, 16 bytes of nibbles: x = scale * (q - 8).
void BlockQ4_0(const uint8_t* block, QuantCodes* out) {
  SetOneGroup(HalfAt(block), 0.0f, 8, out);
  ReadNibbles(block + 2, out);
}

// scale f16, minimum f16, 16 bytes of nibbles: x = scale * q + minimum.
void BlockQ4_1(const uint8_t* block, QuantCodes* out) {
  SetOneGroup(HalfAt(block), HalfAt(block + 2), 0, out);
  ReadNibbles(block + 4, out);
}

// scale f16, 32 fifth bits, 16 bytes of nibbles: x = scale * (q - 16).
void BlockQ5_0(const uint8_t* block, QuantCodes* out) {
  SetOneGroup(HalfAt(block), 0.0f, 16, out);
  ReadNibbles(block + 6, out);
  AddFifthBits(Word32At(block + 2), out);
}

// scale f16, minimum f16, 32 fifth bits, 16 bytes of nibbles: x = scale * q + minimum.
void BlockQ5_1(const uint8_t* block, QuantCodes* out) {
  SetOneGroup(HalfAt(block), HalfAt(block + 2), 0, out);
  ReadNibbles(block + 8, out);
  AddFifthBits(Word32At(block + 4), out);
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

// scale f16, minimum f16, 12 bytes of six-bit pairs: x = scale * s * q - minimum * m.
void ReadSixBitScales(const uint8_t* block, QuantCodes* out) {
  const float scale = HalfAt(block);
  const float minimum = HalfAt(block + 2);
  out->group = 32;
  out->offset = 0;
  for (int group = 0; group < 8; ++group) {
    const SixBits bits = SixBitsAt(block + 4, group);
    out->scales[group] = scale * static_cast<float>(bits.scale);
    out->minimums[group] = -(minimum * static_cast<float>(bits.minimum));
  }
}

// Six-bit scales, 128 bytes of nibbles. Each 32 bytes hold two groups of 32: the first in the low
// halves.
void BlockQ4_K(const uint8_t* block, QuantCodes* out) {
  ReadSixBitScales(block, out);
  for (int group = 0; group < 8; ++group) {
    const uint8_t* source = block + 16 + 32 * (group / 2);
    const int shift = 4 * (group % 2);
    for (int i = 0; i < 32; ++i) out->codes[32 * group + i] = (source[i] >> shift) & 15;
  }
}

// As Q4_K with 32 bytes of fifth bits before the nibbles: bit g of byte i belongs to number i of
// group g.
void BlockQ5_K(const uint8_t* block, QuantCodes* out) {
  ReadSixBitScales(block, out);
  const uint8_t* fifth = block + 16;
  for (int group = 0; group < 8; ++group) {
    const uint8_t* source = block + 48 + 32 * (group / 2);
    const int shift = 4 * (group % 2);
    for (int i = 0; i < 32; ++i) {
      const int number = ((source[i] >> shift) & 15) | (((fifth[i] >> group) & 1) << 4);
      out->codes[32 * group + i] = static_cast<uint8_t>(number);
    }
  }
}

// 128 bytes of nibbles, 64 bytes of high bit pairs, 16 signed scales, scale f16. Each half of 128
// numbers has 64 bytes of nibbles and 32 of pairs; its quarter j of 32 takes nibbles 32 * (j & 1)
// (high halves for j >= 2) and pair j of each byte. x = scale * s * (q - 32), one s per 16.
void BlockQ6_K(const uint8_t* block, QuantCodes* out) {
  const float scale = HalfAt(block + 208);
  out->group = 16;
  out->offset = 32;
  for (int group = 0; group < 16; ++group) {
    out->scales[group] = scale * static_cast<float>(static_cast<int8_t>(block[192 + group]));
    out->minimums[group] = 0.0f;
  }
  for (int half = 0; half < 2; ++half) {
    const uint8_t* low = block + 64 * half;
    const uint8_t* high = block + 128 + 32 * half;
    for (int quarter = 0; quarter < 4; ++quarter) {
      for (int i = 0; i < 32; ++i) {
        const int nibble = (low[32 * (quarter & 1) + i] >> (4 * (quarter >> 1))) & 15;
        const int number = nibble | (((high[i] >> (2 * quarter)) & 3) << 4);
        out->codes[128 * half + 32 * quarter + i] = static_cast<uint8_t>(number);
      }
    }
  }
}

/// How a type of codes is taken apart, and the bits that its codes need: 4 or 8 hold them.
struct CodeRow {
  void (*read)(const uint8_t*, QuantCodes*);
  int32_t bits;
};

CodeRow CodeRowOf(GgmlType type) {
  switch (type) {
    case GgmlType::kQ8_0:
      return {BlockQ8_0, 8};
    case GgmlType::kQ4_0:
      return {BlockQ4_0, 4};
    case GgmlType::kQ4_1:
      return {BlockQ4_1, 4};
    case GgmlType::kQ5_0:
      return {BlockQ5_0, 8};
    case GgmlType::kQ5_1:
      return {BlockQ5_1, 8};
    case GgmlType::kQ4_K:
      return {BlockQ4_K, 4};
    case GgmlType::kQ5_K:
      return {BlockQ5_K, 8};
    case GgmlType::kQ6_K:
      return {BlockQ6_K, 8};
    default:
      return {nullptr, 0};
  }
}

void ToFloats(const QuantCodes& block, int64_t count, float* out) {
  for (int64_t first = 0; first < count; first += block.group) {
    const float scale = block.scales[first / block.group];
    const float minimum = block.minimums[first / block.group];
    for (int64_t i = first; i < first + block.group; ++i) {
      out[i] = scale * static_cast<float>(block.codes[i] - block.offset) + minimum;
    }
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

bool CanDequantize(GgmlType type) { return PlainTypeOf(type).has_value() || CodeBits(type) != 0; }

int32_t CodeBits(GgmlType type) { return CodeRowOf(type).bits; }

void ReadCodes(GgmlType type, const std::byte* block, QuantCodes* codes) {
  const CodeRow row = CodeRowOf(type);
  CAIRN_CHECK(row.read != nullptr);
  row.read(reinterpret_cast<const uint8_t*>(block), codes);
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
  QuantCodes codes;
  for (int64_t i = 0; i < count; i += block.values, data += block.bytes) {
    ReadCodes(type, data, &codes);
    ToFloats(codes, block.values, out + i);
  }
  return Ok();
}

}  // namespace cairn
