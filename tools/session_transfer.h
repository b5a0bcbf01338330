// Sessions to and from files of their own, for `cairn sessions export` and `import`.
#pragma once

#include <string>

#include "base/error.h"
#include "tools/flags.h"

namespace cairn {

/// Writes session `flags.session` to a file; the store is only read.
Status ExportToFile(const Flags& flags, const std::string& path);

/// Makes the session of a file one of the store, which is created if there is none, under the name
/// `flags.session` or, if that is empty, the name it had. The file is read whole first: a damaged
/// one changes nothing.
Status ImportFromFile(const Flags& flags, const std::string& path);

}  // namespace cairn
