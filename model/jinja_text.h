// What readers of chat templates in Jinja share: spaces and string literals.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace cairn {

/// `text` without the spaces at its ends that Jinja's `trim` takes.
std::string_view TrimmedJinja(std::string_view text);

/// Takes the string literal that `text` begins with off it, its escapes undone; nothing if there is
/// none, or one that does not end.
std::optional<std::string> TakeJinjaLiteral(std::string_view& text);

/// Where in `text` the first `end` outside of string literals is; its size if there is none.
size_t FindOutsideLiterals(std::string_view text, std::string_view end);

/// Bytes up to what is next to be looked at: those of the literal that `text`, which is not empty,
/// begins with, all of it if none ends; else 1.
size_t JinjaStep(std::string_view text);

}  // namespace cairn
