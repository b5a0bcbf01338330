// Text that came from elsewhere (names, paths, passages, answers), made harmless for where it is
// shown: one function for terminals, one for pages. Bytes that are not UTF-8 are allowed in all.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cairn {

enum class Lines {
  kKeep,  ///< line breaks and tabs stay what they are
  kOne,   ///< they become spaces
};

/// `text` without anything that a terminal obeys or that hides what is written: other control
/// characters, marks of writing direction and bytes that are not UTF-8 are spelled out, as \x1b,
/// \u{202e} and \xff. Valid UTF-8.
std::string ForTerminal(std::string_view text, Lines lines = Lines::kOne);

/// `text` for the inside of an HTML element or of a quoted attribute. What ForTerminal would spell
/// out becomes U+FFFD; line breaks and tabs stay. Valid UTF-8.
std::string ForHtml(std::string_view text);

/// JSON for the inside of a <script> element: nothing in it can end the element.
std::string JsonForHtml(std::string_view json);

/// The first `most` characters and "…", or all if they are not more. Never parts a character.
std::string Shortened(std::string_view text, size_t most);

/// Whether what is written to this file descriptor is shown by a terminal.
bool IsTerminal(int fd);

}  // namespace cairn
