// Examples of use, of each command: help and manual pages show the same ones.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace cairn {

struct Example {
  std::string what;  ///< a phrase
  std::string line;  ///< as typed
};

/// Of the command that these words call, "sessions list"; those of `cairn` itself for none.
std::vector<Example> ExamplesOf(const std::string& path);

/// Puts them below the help of every command of `app`.
void AddExamples(CLI::App& app);

}  // namespace cairn
