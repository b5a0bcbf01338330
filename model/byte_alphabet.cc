#include "model/byte_alphabet.h"

#include <cstdint>

namespace cairn {

ByteAlphabet::ByteAlphabet() {
  bytes_.fill(-1);
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool itself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    const int character = itself ? byte : next++;
    bytes_[static_cast<size_t>(character)] = byte;
    const auto code = static_cast<uint32_t>(character);
    std::string& spelled = spelled_[static_cast<size_t>(byte)];
    if (code < 0x80) {
      spelled = static_cast<char>(code);
    } else {
      spelled = {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 63))};
    }
  }
}

std::optional<std::string> ByteAlphabet::Bytes(std::string_view token) const {
  std::string bytes;
  for (size_t i = 0; i < token.size(); ++i) {
    uint32_t code = static_cast<uint8_t>(token[i]);
    if (code >= 0x80) {
      if ((code & 0xe0u) != 0xc0u || i + 1 == token.size()) return std::nullopt;
      code = (code & 31u) << 6 | (static_cast<uint8_t>(token[++i]) & 63u);
    }
    if (code >= bytes_.size() || bytes_[code] < 0) return std::nullopt;
    bytes += static_cast<char>(bytes_[code]);
  }
  return bytes;
}

}  // namespace cairn
