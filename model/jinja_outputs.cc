#include "model/jinja_outputs.h"

#include <cctype>
#include <utility>

#include "model/jinja_text.h"

namespace cairn {
namespace {

bool IsSpace(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

JinjaOutput::Term TermOf(std::string_view text) {
  text = TrimmedJinja(text);
  std::string_view rest = text;
  auto literal = TakeJinjaLiteral(rest);
  if (literal && rest.empty()) return {true, std::move(*literal)};
  JinjaOutput::Term term;
  for (const char c : text) {
    if (!IsSpace(c)) term.text += c == '"' ? '\'' : c;
  }
  return term;
}

std::vector<JinjaOutput::Term> TermsOf(std::string_view expression) {
  std::vector<JinjaOutput::Term> terms;
  size_t begin = 0;
  int depth = 0;
  for (size_t i = 0; i < expression.size();) {
    const char c = expression[i];
    if (c == '(' || c == '[') ++depth;
    if (c == ')' || c == ']') --depth;
    if (c == '+' && depth == 0) {
      terms.push_back(TermOf(expression.substr(begin, i - begin)));
      begin = i + 1;
    }
    i += JinjaStep(expression.substr(i));
  }
  terms.push_back(TermOf(expression.substr(begin)));
  return terms;
}

/// The text at the start of `rest`, up to the next tag, as it is written.
std::string TextBehind(std::string_view rest) {
  size_t end = 0;
  while (end < rest.size() &&
         !(rest[end] == '{' && end + 1 < rest.size() &&
           std::string_view("{%#").find(rest[end + 1]) != std::string_view::npos)) {
    ++end;
  }
  std::string text(rest.substr(0, end));
  const std::string_view tag = rest.substr(end, 3);
  if (tag.ends_with('-')) {
    while (!text.empty() && IsSpace(text.back())) text.pop_back();
  } else if (!tag.starts_with("{{")) {  // a block's tag takes what indents it
    const size_t line = text.find_last_of('\n') + 1;
    if (text.find_first_not_of(" \t", line) == std::string::npos) text.resize(line);
  }
  return text;
}

}  // namespace

std::vector<JinjaOutput> JinjaOutputs(std::string_view source) {
  std::vector<JinjaOutput> outputs;
  for (;;) {
    const size_t open = source.find('{');
    if (open == std::string_view::npos || open + 1 >= source.size()) return outputs;
    const char kind = source[open + 1];
    source.remove_prefix(open + (kind == '{' || kind == '%' || kind == '#' ? 2 : 1));
    if (kind == '#') source.remove_prefix(std::min(source.find("#}"), source.size()));
    if (kind == '%') source.remove_prefix(FindOutsideLiterals(source, "%}"));
    if (kind != '{') continue;
    const size_t end = FindOutsideLiterals(source, "}}");
    std::string_view expression = source.substr(0, end);
    source.remove_prefix(std::min(end + 2, source.size()));
    const bool closes = expression.ends_with('-');
    if (closes) expression.remove_suffix(1);
    if (expression.starts_with('-')) expression.remove_prefix(1);
    JinjaOutput output{TermsOf(expression), TextBehind(source)};
    if (closes) output.after.erase(0, output.after.find_first_not_of(" \t\r\n"));
    outputs.push_back(std::move(output));
  }
}

}  // namespace cairn
