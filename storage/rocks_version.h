// The version of RocksDB that is loaded.
#pragma once

#include <string>

namespace cairn {

/// E.g. "7.8.3".
std::string RocksVersion();

}  // namespace cairn
