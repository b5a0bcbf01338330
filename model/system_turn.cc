#include "model/system_turn.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "model/jinja_text.h"

namespace cairn {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";
/// What is not so without tools.
constexpr std::array<std::string_view, 4> kOfTools{
    "tools is not none", "builtin_tools is defined",
    "builtin_tools is defined or tools is not none",
    "tools is not none and not tools_in_user_message"};

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
  const std::string_view end = found.kind == '{' ? "}}" : found.kind == '%' ? "%}" : "#}";
  std::string_view inside = source.substr(begin + 1);
  const size_t size = found.kind == '#' ? inside.find(end) : FindOutsideLiterals(inside, end);
  if (size >= inside.size()) return std::nullopt;
  const std::string_view before = source.substr(0, begin - 1);
  source = inside.substr(size + 2);
  inside = inside.substr(0, size);
  found.adjoins = inside.starts_with('-') && TrimmedJinja(before).empty();
  if (inside.starts_with('-')) inside.remove_prefix(1);
  if (inside.ends_with('-')) inside.remove_suffix(1);
  found.text = TrimmedJinja(inside);
  return found;
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
      if (auto literal = TakeJinjaLiteral(value)) names_[name] = std::move(*literal);
    }
  }

  /// Goes behind the end of a condition of tools; false if it is something else.
  bool SkipTools(const Statement& statement) {
    if (!statement.text.starts_with("if ")) return false;
    if (std::ranges::count(kOfTools, TrimmedJinja(statement.text.substr(3))) == 0) return false;
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
      text = TrimmedJinja(text);
      if (auto literal = TakeJinjaLiteral(text)) {
        value += *literal;
      } else {
        const size_t end = std::min(text.find_first_of(" +\t\r\n"), text.size());
        const auto named = names_.find(text.substr(0, end));
        if (named == names_.end()) return std::nullopt;
        value += named->second;
        text.remove_prefix(end);
      }
      text = TrimmedJinja(text);
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
