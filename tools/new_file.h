// NewFile: a file that is there whole or not at all: written under another name, and given its own
// when all of it is on disk.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace cairn {

/// Writes `text` to `path`, in place of a file that is there. kIo names the path.
Status WriteNewFile(const std::string& path, std::string_view text);

/// Whether WriteNewFile could work, before long work is begun: the directory is there and takes
/// files. kIo or kInvalidArgument names the path.
Status CheckNewFile(const std::string& path);

}  // namespace cairn
