// Command: one subcommand of `cairn`. Results go to stdout, everything else to stderr.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

#include "base/error.h"

namespace cairn {

class Command {
 public:
  virtual ~Command() = default;
  /// Declares the subcommand and its options; `app` outlives the command.
  virtual CLI::App* Add(CLI::App& app) = 0;
  virtual Status Run() = 0;
};

std::unique_ptr<Command> MakeIngestCommand();
std::unique_ptr<Command> MakeAskCommand();
std::unique_ptr<Command> MakeWhyCommand();
std::unique_ptr<Command> MakeChatCommand();
std::unique_ptr<Command> MakeGenerateCommand();
std::unique_ptr<Command> MakePerplexityCommand();
std::unique_ptr<Command> MakeSessionsCommand();
std::unique_ptr<Command> MakeInspectCommand();
std::unique_ptr<Command> MakeVerifyCommand();
std::unique_ptr<Command> MakeRepairCommand();
std::unique_ptr<Command> MakeBackupCommand();
std::unique_ptr<Command> MakeCompactCommand();
std::unique_ptr<Command> MakeUpgradeCommand();
std::unique_ptr<Command> MakeConformCommand();
std::unique_ptr<Command> MakeEvalCommand();
std::unique_ptr<Command> MakeBenchCommand();
std::unique_ptr<Command> MakeServeCommand();

}  // namespace cairn
