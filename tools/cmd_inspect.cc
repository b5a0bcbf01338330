// cairn inspect: what is in a session, one subcommand each.
#include <utility>
#include <vector>

#include "tools/command.h"
#include "tools/inspectors.h"

namespace cairn {
namespace {

class InspectCommand final : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("inspect", "Look at what is stored of a session");
    command->require_subcommand(1);
    for (auto make : {MakeBlocksInspector, MakeBlockInspector, MakeTextInspector,
                      MakeLayoutInspector, MakeDiffInspector}) {
      auto inspector = make();
      CLI::App* added = inspector->Add(*command);
      inspectors_.emplace_back(added, std::move(inspector));
    }
    return command;
  }

  Status Run() override {
    for (auto& [added, inspector] : inspectors_) {
      if (added->parsed()) return inspector->Run();
    }
    return Ok();
  }

 private:
  std::vector<std::pair<CLI::App*, std::unique_ptr<Command>>> inspectors_;
};

}  // namespace

std::unique_ptr<Command> MakeInspectCommand() { return std::make_unique<InspectCommand>(); }

}  // namespace cairn
