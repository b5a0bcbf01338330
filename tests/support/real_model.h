// The real model that some tests need: SmolLM2-135M-Instruct as GGUF.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#ifndef CAIRN_DEFAULT_MODEL
#define CAIRN_DEFAULT_MODEL ""
#endif

namespace cairn::test {

inline constexpr const char* kNoRealModel =
    "no real model: set CAIRN_MODEL (or configure with CAIRN_DEFAULT_MODEL) to the path of "
    "SmolLM2-135M-Instruct as GGUF";

/// Its path from the environment (CAIRN_MODEL) or the build; empty if neither names a file. Tests
/// then GTEST_SKIP() << kNoRealModel.
inline std::string RealModelPath() {
  const char* named = std::getenv("CAIRN_MODEL");
  const std::string path = named != nullptr && *named != '\0' ? named : CAIRN_DEFAULT_MODEL;
  std::error_code ignored;
  return !path.empty() && std::filesystem::is_regular_file(path, ignored) ? path : "";
}

}  // namespace cairn::test
