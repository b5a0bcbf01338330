// cairn verify: read all of a store, or of one session, and name what is damaged.
#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/byte_size.h"
#include "base/plain_text.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/print_json.h"
#include "tools/store_check.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

class VerifyCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("verify", "Read everything stored, and name damage");
    command->add_option("--store", flags_.store, "Directory of the store")
        ->required()
        ->type_name("DIR");
    command->add_option("--session", flags_.session, "Only this session")->type_name("NAME");
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    std::set<std::string> names;
    if (!flags_.session.empty()) {
      CAIRN_TRY(SessionCatalog::ValidateName(flags_.session));
      names.insert(flags_.session);
    }
    CAIRN_TRY(const StoreCheck check, CheckStore(flags_, names, flags_.quiet));
    return Report(check);
  }

 private:
  Status Report(const StoreCheck& check) const {
    if (flags_.json) {
      PrintJson(ToJson(check));
    } else {
      for (const CheckFinding& finding : check.findings) {
        fmt::print("{}\n", ForTerminal(Describe(finding)));
      }
      const size_t unreadable = check.unreadable();
      fmt::print("{} sessions, {} catalog entries and {} block records ({}) read, {} damaged{}\n",
                 check.totals.sessions, check.totals.entries, check.totals.blocks,
                 FormatByteSize(check.totals.payload_bytes), check.findings.size() - unreadable,
                 unreadable == 0 ? "" : fmt::format(", {} unreadable", unreadable));
    }
    return Verdict(check, flags_.store);
  }

  Flags flags_;
};

}  // namespace

std::unique_ptr<Command> MakeVerifyCommand() { return std::make_unique<VerifyCommand>(); }

}  // namespace cairn
