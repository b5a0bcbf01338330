// The text that references in tests/data were computed on: the King James Bible as the Debian
// package bible-kjv prints it.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

namespace cairn::test {

inline constexpr const char* kNoBible =
    "no reference text: install the program `bible` (Debian package bible-kjv)";

/// Its first `bytes` bytes; empty if there is no such program. Tests then GTEST_SKIP() << kNoBible.
inline std::string BibleText(size_t bytes) {
  struct Close {
    void operator()(std::FILE* pipe) const { pclose(pipe); }
  };
  const std::unique_ptr<std::FILE, Close> pipe(
      popen("bible -f -l 9999 \"Gen1:1-Rev22:21\" 2>/dev/null", "r"));
  if (pipe == nullptr) return "";
  std::string text(bytes, '\0');
  text.resize(std::fread(text.data(), 1, bytes, pipe.get()));
  return text;
}

}  // namespace cairn::test
