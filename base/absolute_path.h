// Paths that lead to their files whatever directory the process is in later.
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

namespace cairn {

/// `path` from the root on; as it is if it is empty, or nobody knows the current directory.
inline std::string AbsolutePath(const std::string& path) {
  std::error_code unknown;
  const std::filesystem::path absolute = std::filesystem::absolute(path, unknown);
  return unknown ? path : absolute.string();
}

}  // namespace cairn
