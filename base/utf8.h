// UTF-8, one character at a time. Any bytes are allowed.
#pragma once

#include <cstdint>
#include <string_view>

namespace cairn {

inline constexpr uint32_t kNoCharacter = UINT32_MAX;

struct Utf8Character {
  uint32_t code = kNoCharacter;
  uint32_t bytes = 1;
};

/// The character that `text`, which is not empty, begins with; kNoCharacter and one byte if it
/// begins with none (overlong forms, surrogates and what is beyond U+10FFFF are none).
Utf8Character FirstCharacter(std::string_view text);

/// Whether all of `text` is UTF-8.
bool IsUtf8(std::string_view text);

}  // namespace cairn
