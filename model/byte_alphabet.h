// ByteAlphabet: the printable characters that byte-level vocabularies spell bytes with.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace cairn {

/// The byte that each character of GPT-2's printable alphabet stands for. Printable bytes of
/// Latin-1 stand for themselves; the others, in order, are the characters from U+0100 on.
class ByteAlphabet {
 public:
  ByteAlphabet();

  /// How the alphabet spells one byte.
  const std::string& Spelled(size_t byte) const { return spelled_[byte]; }

  /// The bytes of a token; nothing if it uses a character outside the alphabet.
  std::optional<std::string> Bytes(std::string_view token) const;

 private:
  std::array<int, 324> bytes_{};  // 256 + the 68 that do not stand for themselves
  std::array<std::string, 256> spelled_;
};

}  // namespace cairn
