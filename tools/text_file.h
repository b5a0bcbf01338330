// Reading texts as bytes, from a file or from standard input ("-"), and writing them whole.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace cairn {

/// kNotFound or kIo naming the path; kInvalidArgument if there is nothing in it.
Result<std::string> ReadText(const std::string& path);

/// Writes `text` beside `path` and then renames it, so that `path` is never half written. kIo.
Status WriteTextAtomically(const std::string& path, const std::string& text);

/// Refuses, before any work, a file that could not be written in the end; an empty path is fine.
Status CheckTarget(const std::string& path);

/// The longest prefix that does not end inside a UTF-8 character; what is not UTF-8 counts as
/// complete. For streaming text whose characters arrive in pieces.
size_t CompleteUtf8(std::string_view bytes);

}  // namespace cairn
