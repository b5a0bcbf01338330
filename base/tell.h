// Tell: what people are told on stderr. What cannot be written there is lost, and changes nothing
// else: a command whose work is done has not failed because nobody could be told.
#pragma once

#include <fmt/core.h>

#include <string_view>
#include <utility>

namespace cairn {

void TellText(std::string_view text);

/// Writes to stderr; never throws because of that.
template <class... Args>
void Tell(fmt::format_string<Args...> format, Args&&... args) {
  TellText(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace cairn
