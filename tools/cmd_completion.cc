// cairn completion: scripts with which shells complete its words.
#include <fmt/core.h>

#include "tools/completion.h"
#include "tools/own_commands.h"

namespace cairn {
namespace {

class CompletionCommand final : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    root_ = &app;
    CLI::App* command =
        app.add_subcommand("completion", "Print a script that completes words in a shell");
    command->require_subcommand(1);
    for (const char* shell : {"bash", "zsh", "fish"}) {
      command->add_subcommand(shell, fmt::format("For {}", shell));
    }
    command_ = command;
    return command;
  }

  Status Run() override {
    CAIRN_TRY(const std::string script,
              CompletionScript(*root_, command_->get_subcommands().front()->get_name()));
    fmt::print("{}", script);
    return Ok();
  }

 private:
  const CLI::App* root_ = nullptr;
  const CLI::App* command_ = nullptr;
};

}  // namespace

std::unique_ptr<Command> MakeCompletionCommand() { return std::make_unique<CompletionCommand>(); }

}  // namespace cairn
