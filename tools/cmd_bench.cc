// cairn bench: measurements of this machine, one subcommand each.
#include "tools/bench_storage.h"
#include "tools/command.h"

namespace cairn {
namespace {

class BenchCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("bench", "Measure what this machine gives");
    command->require_subcommand(1);
    storage_command_ = storage_.Add(*command);
    return command;
  }

  Status Run() override {
    if (storage_command_->parsed()) return storage_.Run();
    return Ok();
  }

 private:
  BenchStorage storage_;
  CLI::App* storage_command_ = nullptr;
};

}  // namespace

std::unique_ptr<Command> MakeBenchCommand() { return std::make_unique<BenchCommand>(); }

}  // namespace cairn
