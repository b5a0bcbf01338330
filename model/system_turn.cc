#include "model/system_turn.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

namespace cairn {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";
/// What is not so without tools.
constexpr std::array<std::string_view, 4> kOfTools{
    "tools is not none", "builtin_tools is defined",
    "builtin_tools is defined or tools is not none",
    "tools is not none and not tools_in_user_message"};

std::string_view Trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

/// Takes a string literal off `text`, with its escapes undone.
std::optional<std::string> TakeLiteral(std::string_view& text) {
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

struct Statement {
  char kind = 0;            ///< '{' writes, '%' does, '#' is a comment
  std::string_view text{};  ///< inside, without blanks around it
  bool adjoins = false;     ///< what stands before it is written as if it followed at once
};

/// Takes the next one off `source`, with what stands before it.
std::optional<Statement> TakeStatement(std::string_view& source) {
  size_t begin = 0;
  do {
    begin = source.find('{', begin);
    if (begin == std::string_view::npos || begin + 1 >= source.size()) return std::nullopt;
  } while (std::string_view("{%#").find(source[++begin]) == std::string_view::npos);
  Statement found{.kind = source[begin]};
  const std::array<char, 2> end{found.kind == '{' ? '}' : found.kind, '}'};
  char quote = 0;
  for (size_t i = begin + 1; i + 1 < source.size(); ++i) {
    const char c = source[i];
    if (quote != 0) {
      if (c == '\\') ++i;
      if (c == quote) quote = 0;
    } else if (found.kind != '#' && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == end[0] && source[i + 1] == end[1]) {
      std::string_view inside = source.substr(begin + 1, i - begin - 1);
      found.adjoins = inside.starts_with('-') && Trimmed(source.substr(0, begin - 1)).empty();
      if (inside.starts_with('-')) inside.remove_prefix(1);
      if (inside.ends_with('-')) inside.remove_suffix(1);
      found.text = Trimmed(inside);
      source.remove_prefix(i + 2);
      return found;
    }
  }
  return std::nullopt;
}

/// How much deeper a statement leads.
int StepOf(const Statement& statement) {
  if (statement.kind != '%') return 0;
  const std::string_view word = statement.text.substr(0, statement.text.find_first_of(kBlanks));
  for (const std::string_view block : {"if", "for", "macro", "block", "call", "filter"}) {
    if (word == block) return 1;
    if (word.starts_with("end") && word.substr(3) == block) return -1;
  }
  return 0;
}

class Walk {
 public:
  Walk(std::string_view source, std::string_view open, std::string_view close)
      : rest_(source), open_(open), close_(close) {}

  std::string Run() {
    if (!FindTurn()) return {};
    std::string said;
    while (const auto statement = TakeStatement(rest_)) {
      if (!statement->adjoins) return {};
      if (statement->kind == '%' && !SkipTools(*statement)) return {};
      if (statement->kind != '{') continue;
      const auto written = Value(statement->text);
      if (!written) return {};
      if (*written == close_) return said;
      said += *written;
    }
    return {};
  }

 private:
  /// Goes behind the statement that opens it under all circumstances, and keeps what was set
  /// before.
  bool FindTurn() {
    int depth = 0;
    while (const auto statement = TakeStatement(rest_)) {
      depth += StepOf(*statement);
      if (statement->kind == '%') KeepIfSet(statement->text);
      if (statement->kind != '{' || depth != 0) continue;
      if (Value(statement->text) == std::string(open_)) return true;
    }
    return false;
  }

  void KeepIfSet(std::string_view text) {
    for (const std::string_view name : {"date_string", "system_message"}) {
      const std::string set = "set " + std::string(name) + " = ";
      if (!text.starts_with(set)) continue;
      std::string_view value = text.substr(set.size());
      if (auto literal = TakeLiteral(value)) names_[name] = std::move(*literal);
    }
  }

  /// Goes behind the end of a condition of tools; false if it is something else.
  bool SkipTools(const Statement& statement) {
    if (!statement.text.starts_with("if ")) return false;
    if (std::ranges::count(kOfTools, Trimmed(statement.text.substr(3))) == 0) return false;
    for (int depth = 1; depth > 0;) {
      const auto next = TakeStatement(rest_);
      if (!next) return false;
      const bool other = next->text.starts_with("else") || next->text.starts_with("elif");
      if (depth == 1 && next->kind == '%' && other) return false;
      depth += StepOf(*next);
    }
    return true;
  }

  /// Of literals and names with "+" between them.
  std::optional<std::string> Value(std::string_view text) const {
    std::string value;
    while (true) {
      text = Trimmed(text);
      if (auto literal = TakeLiteral(text)) {
        value += *literal;
      } else {
        const size_t end = std::min(text.find_first_of(" +\t\r\n"), text.size());
        const auto named = names_.find(text.substr(0, end));
        if (named == names_.end()) return std::nullopt;
        value += named->second;
        text.remove_prefix(end);
      }
      text = Trimmed(text);
      if (text.empty()) return value;
      if (text.front() != '+') return std::nullopt;
      text.remove_prefix(1);
    }
  }

  std::string_view rest_;
  const std::string_view open_, close_;
  std::map<std::string_view, std::string> names_;
};

}  // namespace

std::string SystemTurn(std::string_view source, std::string_view open, std::string_view close) {
  return Walk(source, open, close).Run();
}

}  // namespace cairn
