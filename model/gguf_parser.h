// Parsing of a GGUF header: bytes in, checked metadata and tensor list out. Used by GgufFile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "model/gguf.h"

namespace cairn {

/// Value types as numbered in the file.
enum class GgufKind : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

/// E.g. "unsigned integer of 32 bits".
std::string_view GgufKindName(GgufKind kind);
/// Bytes of one number or bool; 0 for strings and arrays.
size_t GgufKindBytes(GgufKind kind);

/// One metadata value, checked to lie inside the file. A scalar is `count` 1 of `kind`; an array
/// has `is_array` and `count` elements of `kind`, one after another from `data`, unaligned. Strings
/// are a length of 8 bytes and that many characters.
struct GgufValue {
  GgufKind kind = GgufKind::kUint8;
  bool is_array = false;
  uint64_t count = 0;
  const std::byte* data = nullptr;
};

struct GgufContents {
  std::map<std::string, GgufValue, std::less<>> metadata;
  std::vector<GgufTensor> tensors;
  std::unordered_map<std::string_view, size_t> tensor_index;  ///< views into `tensors`
  uint64_t header_bytes = 0;  ///< from the file's start to the end of the tensor list
};

/// The contents point into `bytes`. `path` is for messages; errors as GgufFile::Open says.
Result<GgufContents> ParseGguf(std::span<const std::byte> bytes, const std::string& path);

/// `text` fit for a message: at most 80 characters, unprintable ones as '?'.
std::string Printable(std::string_view text);

}  // namespace cairn
