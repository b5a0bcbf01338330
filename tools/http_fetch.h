// What a server on this machine says, for those who show it.
#pragma once

#include <string>

#include "base/error.h"

namespace cairn {

/// GET http://127.0.0.1:PORT/PATH, at most 1 MiB in two seconds. kBusy if nobody answers there.
Result<std::string> FetchLocal(int port, const std::string& path);

}  // namespace cairn
