#include "model/jinja_text.h"

namespace cairn {

std::string_view TrimmedJinja(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\n\v\f\r";
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) + 1 - first);
}

std::optional<std::string> TakeJinjaLiteral(std::string_view& text) {
  if (text.empty() || (text.front() != '"' && text.front() != '\'')) return std::nullopt;
  std::string literal;
  for (size_t i = 1; i < text.size(); ++i) {
    char c = text[i];
    if (c == text.front()) {
      text.remove_prefix(i + 1);
      return literal;
    }
    if (c == '\\') {
      if (++i == text.size()) break;
      c = text[i] == 'n' ? '\n' : text[i] == 't' ? '\t' : text[i] == 'r' ? '\r' : text[i];
    }
    literal += c;
  }
  return std::nullopt;
}

size_t JinjaStep(std::string_view text) {
  if (text.front() != '"' && text.front() != '\'') return 1;
  std::string_view rest = text;
  return TakeJinjaLiteral(rest) ? text.size() - rest.size() : text.size();
}

size_t FindOutsideLiterals(std::string_view text, std::string_view end) {
  for (size_t i = 0; i < text.size(); i += JinjaStep(text.substr(i))) {
    if (text.substr(i).starts_with(end)) return i;
  }
  return text.size();
}

}  // namespace cairn
