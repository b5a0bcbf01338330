// cairn upgrade: brings a store to the present format version.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/byte_size.h"
#include "base/plain_text.h"
#include "base/progress.h"
#include "storage/rocks_upgrade.h"
#include "storage/session_catalog.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/print_json.h"

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
    Progress progress(flags_.quiet);
    const auto done = UpgradeStore(flags_.store, [&](uint64_t bytes) -> Status {
      if (progress.Due()) progress.Show(fmt::format("{} copied", FormatByteSize(bytes)));
      if (!Interrupted()) return Ok();
      return Fail(Errc::kInterrupted, "stopped; the store is what it was");
    });
    progress.Finish();
    CAIRN_TRY(const UpgradeReport report, done);
    const std::string store = ForTerminal(flags_.store);
    if (flags_.json) {
      PrintJson(nlohmann::json{{"format_before", report.format_before},
                               {"format", kStoreFormatVersion},
                               {"block_records", report.blocks},
                               {"payload_bytes", report.payload_bytes}});
    } else if (report.format_before == kStoreFormatVersion) {
      fmt::print("the store {} is of the present format version, {}; nothing to do\n", store,
                 kStoreFormatVersion);
    } else {
      fmt::print("the store {} has format {} now, before {}; {} of keys and values were copied\n",
                 store, kStoreFormatVersion, report.format_before,
                 FormatByteSize(report.payload_bytes));
    }
    return Ok();
  }

 private:
  Flags flags_;
};

}  // namespace

std::unique_ptr<Command> MakeUpgradeCommand() { return std::make_unique<UpgradeCommand>(); }

}  // namespace cairn
