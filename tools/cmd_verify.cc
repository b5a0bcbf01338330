// cairn verify: read all of a store, or of one session, and name what is damaged.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/byte_size.h"
#include "base/plain_text.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/print_json.h"
#include "tools/store_check.h"

namespace cairn {
namespace {

nlohmann::json ToJson(const FoundDamage& finding) {
  const Damage& damage = finding.damage;
  nlohmann::json json{{"message", damage.what}};
  if (!damage.session.empty()) json["session"] = damage.session;
  if (!damage.block.has_value()) return json;
  json["layer"] = damage.block->layer;
  json["head"] = damage.block->head;
  json["block"] = damage.ordinal;
  json["extent"] = damage.block->extent;
  json["ordinal"] = damage.block->ordinal;
  json["first_token"] = *finding.first_token;
  json["last_token"] = *finding.last_token;
  return json;
}

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
    CAIRN_TRY(const auto check, CheckStore(flags_, flags_.quiet));
    return Report(check.findings, check.totals);
  }

 private:
  Status Report(const std::vector<FoundDamage>& findings, const VerifyTotals& totals) const {
    if (flags_.json) {
      nlohmann::json damaged = nlohmann::json::array();
      for (const FoundDamage& finding : findings) damaged.push_back(ToJson(finding));
      PrintJson(nlohmann::json{{"sessions", totals.sessions},
                               {"entries", totals.entries},
                               {"block_records", totals.blocks},
                               {"payload_bytes", totals.payload_bytes},
                               {"damaged", damaged}});
    } else {
      for (const FoundDamage& finding : findings) {
        const std::string text =
            fmt::format("damaged    {}: {}", PlaceOf(finding), finding.damage.what);
        fmt::print("{}\n", ForTerminal(text));
      }
      fmt::print("{} sessions, {} catalog entries and {} block records ({}) read, {} damaged\n",
                 totals.sessions, totals.entries, totals.blocks,
                 FormatByteSize(totals.payload_bytes), findings.size());
    }
    if (findings.empty()) return Ok();
    return Fail(Errc::kCorruption,
                "the store {} is damaged in {} places; restore it from a copy, or let `cairn "
                "repair` cut off what is damaged",
                flags_.store, findings.size());
  }

  Flags flags_;
};

}  // namespace

std::unique_ptr<Command> MakeVerifyCommand() { return std::make_unique<VerifyCommand>(); }

}  // namespace cairn
