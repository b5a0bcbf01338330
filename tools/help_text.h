// How help is laid out.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace cairn {

/// For CLI::App::formatter_fn: CLI11's layout without the variables that hold settings, whose names
/// follow from those of the options.
std::string HelpText(const CLI::App* app, std::string name, CLI::AppFormatMode mode);

}  // namespace cairn
