// What a fuzz target is given, and how it reads that as a list of small parts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "storage/byte_reader.h"

/// libFuzzer's entry, one in each target. It ends the process where a decoder is wrong.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace cairn::test {

/// One part of an input: what it is, and its bytes.
struct FuzzPart {
  uint8_t kind = 0;
  uint8_t place = 0;
  std::string_view body{};
};

/// Takes parts { u8 kind, u8 place, u16 bytes, bytes } off an input; the last one may be short.
class FuzzParts {
 public:
  explicit FuzzParts(std::string_view bytes) : reader_(bytes) {}

  bool Next(FuzzPart& part) {
    if (reader_.left() < 4) return false;
    part.kind = reader_.Take<uint8_t>();
    part.place = reader_.Take<uint8_t>();
    const size_t bytes = reader_.Take<uint16_t>();
    part.body = reader_.TakeBytes(bytes < reader_.left() ? bytes : reader_.left());
    return true;
  }

 private:
  ByteReader reader_;
};

/// A part as FuzzParts takes it.
inline std::string EncodePart(uint8_t kind, uint8_t place, std::string_view body) {
  std::string part;
  AppendBytes(part, kind);
  AppendBytes(part, place);
  AppendBytes(part, static_cast<uint16_t>(body.size()));
  return part.append(body);
}

inline std::string_view TextOf(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace cairn::test
