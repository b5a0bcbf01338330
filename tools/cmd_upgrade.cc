// cairn upgrade: brings a store to the present format version.
//
// There is one version so far. When there is a second, SessionCatalog::Open refuses to write to a
// store of the first, and this changes it, in one atomic batch that ends with the entry 'format'.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "tools/command.h"
#include "tools/print_json.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

class UpgradeCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command =
        app.add_subcommand("upgrade", "Bring a store to the present format version");
    command->add_option("--store", flags_.store, "Directory of the store")
        ->required()
        ->type_name("DIR");
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    CAIRN_TRY(auto cold, OpenStore(flags_, false, true));
    CAIRN_TRY(SessionCatalog::Open(*cold, true));  // refuses newer ones
    if (flags_.json) {
      PrintJson(
          nlohmann::json{{"format_before", kStoreFormatVersion}, {"format", kStoreFormatVersion}});
    } else {
      fmt::print("the store {} is of the present format version, {}; nothing to do\n", flags_.store,
                 kStoreFormatVersion);
    }
    return Ok();
  }

  Flags flags_;
};

}  // namespace

std::unique_ptr<Command> MakeUpgradeCommand() { return std::make_unique<UpgradeCommand>(); }

}  // namespace cairn
