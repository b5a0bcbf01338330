// Completion: what a shell needs to know to complete the words of `cairn`, as a script of its own
// language, made from the commands and options that there are. Names of sessions are asked for when
// they are wanted, with the --store of the line, or the one that is set.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/error.h"

namespace cairn {

/// For "bash", "zsh" or "fish"; kInvalidArgument for others.
Result<std::string> CompletionScript(const CLI::App& root, const std::string& shell);

}  // namespace cairn
