// What a server on this machine says, for those who show it.
#pragma once

#include <string>

#include "base/error.h"

namespace cairn {

/// GET http://127.0.0.1:PORT/PATH, at most 1 MiB, and two seconds for each part of it. kBusy,
/// saying why, if nobody is there or the answer is none.
Result<std::string> FetchLocal(int port, const std::string& path);

}  // namespace cairn
