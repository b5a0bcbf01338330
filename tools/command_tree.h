// CommandTree: the commands and options that there are, for what is made of them besides help:
// settings, completion and manual pages.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace cairn {

/// A command, and the words after `cairn` that call it: "sessions list"; none for cairn itself.
template <class App>
struct CommandNode {
  std::string path;
  App* app;
};

/// All commands, each in front of those below it; `root` is first.
std::vector<CommandNode<CLI::App>> CommandsOf(CLI::App& root);
std::vector<CommandNode<const CLI::App>> CommandsOf(const CLI::App& root);

/// The commands directly below, in the order of help.
std::vector<const CLI::App*> ChildrenOf(const CLI::App& app);
/// Options with a name, --help included, and arguments by place, in the order of help.
std::vector<const CLI::Option*> NamedOptionsOf(const CLI::App& app);
std::vector<const CLI::Option*> ArgumentsOf(const CLI::App& app);

/// "host-memory" of --host-memory; empty for an argument by place.
std::string LongNameOf(const CLI::Option& option);

/// What a shell may offer for a value.
enum class ValueKind { kNone, kFlag, kFile, kDirectory, kSession, kChoice, kOther };
ValueKind ValueKindOf(const CLI::Option& option);
/// The words that an option of kChoice takes, else none.
std::vector<std::string> ChoicesOf(const CLI::Option& option);

}  // namespace cairn
