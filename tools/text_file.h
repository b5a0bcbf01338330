// Reading texts as bytes, from a file or from standard input ("-").
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace cairn {

/// kNotFound or kIo naming the path; kInvalidArgument if there is nothing in it; kInterrupted.
Result<std::string> ReadText(const std::string& path);

/// The lines of standard input as they come, without their ends ("\\n" or "\\r\\n").
class InputLines {
 public:
  /// False at the end; kIo, and kInterrupted if a signal came while it waited.
  Result<bool> Next(std::string* line);

 private:
  std::string waiting_;
  bool ended_ = false;
};

/// The longest prefix that does not end inside a UTF-8 character; what is not UTF-8 counts as
/// complete. For streaming text whose characters arrive in pieces.
size_t CompleteUtf8(std::string_view bytes);

}  // namespace cairn
