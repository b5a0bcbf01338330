// How deep JSON from elsewhere nests. The JSON library reads any depth, but copies, compares and
// writes by recursion: what nests without end would end the program.
#pragma once

#include <cstddef>
#include <string_view>

namespace cairn {

constexpr int kMostJsonDepth = 32;  // more than any document that is read here has

/// Whether no list or object of `text` is within `most` others. Any text is taken.
constexpr bool JsonIsShallow(std::string_view text, int most = kMostJsonDepth) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > most) return false;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return true;
}

}  // namespace cairn
