// GGML tensor types: their names, their block layouts, and conversion of blocks to float.
//
// A quantised tensor is a run of blocks; a block holds `values` numbers in `bytes` bytes. All
// functions are pure and thread-safe; data needs no alignment.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace cairn {

/// The numbers are those written in GGUF files.
enum class GgmlType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
  kQ1_0 = 41,
};

/// How a type packs numbers.
struct GgmlBlock {
  uint32_t values;  ///< numbers in one block
  uint32_t bytes;   ///< size of one block
};

/// The type with that number in files; nothing if the format defines none.
std::optional<GgmlType> GgmlTypeFromNumber(uint32_t number);
/// E.g. "Q4_K"; "?" for a value that is not in the enumeration.
std::string_view GgmlTypeName(GgmlType type);
/// REQUIRES: `type` is in the enumeration.
GgmlBlock GgmlBlockOf(GgmlType type);

/// One block of a type made of codes, taken apart: number i is
/// scales[i / group] · (codes[i] − offset) + minimums[i / group].
struct QuantCodes {
  int32_t group = 32;  ///< numbers with one scale: 16 or 32
  int32_t offset = 0;
  std::array<uint8_t, 256> codes;
  std::array<float, 16> scales;
  std::array<float, 16> minimums;
};

/// 4 or 8, the bits that hold a code of the type; 0 if it is not made of codes (F32, F16, BF16 and
/// what CanDequantize refuses).
int32_t CodeBits(GgmlType type);
/// REQUIRES: CodeBits(type) != 0 and a whole block of it at `block`.
void ReadCodes(GgmlType type, const std::byte* block, QuantCodes* codes);

/// True for F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K and Q6_K.
bool CanDequantize(GgmlType type);
/// Converts `count` numbers, a multiple of the block's, from `data` to `out` [count].
/// kUnsupported naming the type unless CanDequantize; kInvalidArgument for another count.
Status Dequantize(GgmlType type, const std::byte* data, int64_t count, float* out);

}  // namespace cairn
