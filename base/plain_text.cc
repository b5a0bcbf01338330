#include "base/plain_text.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdint>

#include "base/utf8.h"

namespace cairn {
namespace {

constexpr const char* kReplacement = "\uFFFD";

/// Takes one character from the front of `text` and gives its bytes; `code` is kNoCharacter for a
/// byte that begins none.
std::string_view TakeCharacter(std::string_view* text, uint32_t* code) {
  const Utf8Character first = FirstCharacter(*text);
  *code = first.code;
  const std::string_view taken = text->substr(0, first.bytes);
  text->remove_prefix(first.bytes);
  return taken;
}

bool IsBreak(uint32_t code) { return code == '\n' || code == '\t'; }

/// Obeyed by terminals, or changes how what stands around it looks.
bool IsHarmful(uint32_t code) {
  if (code < 0x20 || (code >= 0x7F && code < 0xA0)) return true;  // C0, DEL, C1
  const bool direction = code == 0x061C || code == 0x200E || code == 0x200F ||
                         (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
  const bool separator = code == 0x2028 || code == 0x2029;
  const bool invisible = code == 0x200B || code == 0xFEFF || (code >= 0xE0000 && code <= 0xE007F);
  return direction || separator || invisible || code == kNoCharacter;
}

}  // namespace

std::string ForTerminal(std::string_view text, Lines lines) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    uint32_t code = 0;
    const std::string_view bytes = TakeCharacter(&text, &code);
    if (IsBreak(code)) {
      shown += lines == Lines::kKeep ? bytes : " ";
    } else if (!IsHarmful(code)) {
      shown += bytes;
    } else if (bytes.size() == 1) {
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(bytes[0]));
    } else {
      shown += fmt::format("\\u{{{:x}}}", code);
    }
  }
  return shown;
}

std::string ForHtml(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    uint32_t code = 0;
    const std::string_view bytes = TakeCharacter(&text, &code);
    switch (code) {
      case '&':
        shown += "&amp;";
        break;
      case '<':
        shown += "&lt;";
        break;
      case '>':
        shown += "&gt;";
        break;
      case '"':
        shown += "&quot;";
        break;
      case '\'':
        shown += "&#39;";
        break;
      default:
        shown += IsHarmful(code) && !IsBreak(code) ? kReplacement : bytes;
    }
  }
  return shown;
}

std::string JsonForHtml(std::string_view json) {
  std::string shown;
  shown.reserve(json.size());
  for (const char c : json) {  // outside of strings JSON has none of these
    if (c == '<' || c == '>' || c == '&') {
      shown += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      shown += c;
    }
  }
  return shown;
}

std::string Shortened(std::string_view text, size_t most) {
  std::string_view rest = text;
  for (size_t i = 0; i < most && !rest.empty(); ++i) {
    uint32_t code = 0;
    TakeCharacter(&rest, &code);
  }
  const std::string_view kept = text.substr(0, text.size() - rest.size());
  return rest.empty() ? std::string(kept) : std::string(kept) + "…";
}

bool IsTerminal(int fd) { return isatty(fd) != 0; }

}  // namespace cairn
