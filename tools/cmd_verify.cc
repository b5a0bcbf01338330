// cairn verify: read all of a store, or of one session, and name what is damaged.
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/byte_size.h"
#include "base/plain_text.h"
#include "storage/verifier.h"
#include "tools/command.h"
#include "tools/print_json.h"
#include "tools/session_check.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

/// A damage with the tokens that a block holds.
struct Finding {
  Damage damage;
  std::optional<int64_t> first_token, last_token;
};

nlohmann::json ToJson(const Finding& finding) {
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

std::string ToText(const Finding& finding) {
  const Damage& damage = finding.damage;
  std::string place =
      damage.session.empty() ? "store" : fmt::format("session '{}'", damage.session);
  if (damage.block.has_value()) {
    place +=
        fmt::format(" layer {} head {} block {} (tokens {} to {})", damage.block->layer,
                    damage.block->head, damage.ordinal, *finding.first_token, *finding.last_token);
  }
  return fmt::format("damaged    {}: {}", place, damage.what);
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
    std::set<std::string> names;
    if (!flags_.session.empty()) {
      CAIRN_TRY(SessionCatalog::ValidateName(flags_.session));
      names.insert(flags_.session);
    }
    CAIRN_TRY(auto findings, Check(names, &totals_));
    if (!findings.empty()) {
      // A writer may have taken away what was being read: damage is what is found again.
      std::set<std::string> damaged;
      for (const Finding& finding : findings) damaged.insert(finding.damage.session);
      VerifyTotals ignored;
      CAIRN_TRY(auto again, Check(damaged, &ignored));
      std::erase_if(again, [&](const Finding& now) { return !FoundBefore(findings, now); });
      findings = std::move(again);
    }
    return Report(findings);
  }

 private:
  static bool FoundBefore(const std::vector<Finding>& before, const Finding& now) {
    return std::ranges::any_of(before, [&](const Finding& was) {
      return was.damage.session == now.damage.session && was.damage.block == now.damage.block;
    });
  }

  /// Everything of the sessions named, or of all if none is.
  Result<std::vector<Finding>> Check(const std::set<std::string>& names, VerifyTotals* totals) {
    CAIRN_TRY(auto cold, OpenStore(flags_, false, true));
    Verifier verifier(*cold);
    CAIRN_TRY(auto records, verifier.CheckStore());
    std::vector<Finding> findings;
    size_t found = 0;
    const auto take = [&](int64_t block_tokens) {
      for (; found < verifier.damages().size(); ++found) {
        const Damage& damage = verifier.damages()[found];
        if (!names.empty() && !damage.session.empty() && !names.contains(damage.session)) continue;
        const auto first = static_cast<int64_t>(damage.ordinal) * block_tokens;
        findings.push_back({damage, first, first + block_tokens - 1});
      }
    };
    take(0);
    bool any = flags_.session.empty() || !findings.empty();
    for (const SessionRecord& record : records) {
      if (!names.empty() && !names.contains(record.name)) continue;
      any = true;
      CAIRN_TRY(const SessionCheck check, CheckSession(record, flags_.quiet, verifier));
      take(check.block_tokens);
    }
    *totals = verifier.totals();
    if (any) return findings;
    CAIRN_TRY(auto catalog, SessionCatalog::Open(*cold, true));
    CAIRN_TRY(catalog.Find(flags_.session));  // which says what sessions there are
    return findings;
  }

  Status Report(const std::vector<Finding>& findings) const {
    if (flags_.json) {
      nlohmann::json damaged = nlohmann::json::array();
      for (const Finding& finding : findings) damaged.push_back(ToJson(finding));
      PrintJson(nlohmann::json{{"sessions", totals_.sessions},
                               {"entries", totals_.entries},
                               {"block_records", totals_.blocks},
                               {"payload_bytes", totals_.payload_bytes},
                               {"damaged", damaged}});
    } else {
      for (const Finding& finding : findings) {
        fmt::print("{}\n", ForTerminal(ToText(finding)));
      }
      fmt::print("{} sessions, {} catalog entries and {} block records ({}) read, {} damaged\n",
                 totals_.sessions, totals_.entries, totals_.blocks,
                 FormatByteSize(totals_.payload_bytes), findings.size());
    }
    if (findings.empty()) return Ok();
    return Fail(Errc::kCorruption,
                "the store {} is damaged in {} places; restore it from a copy, or let `cairn "
                "repair` cut off what is damaged",
                flags_.store, findings.size());
  }

  Flags flags_;
  VerifyTotals totals_;
};

}  // namespace

std::unique_ptr<Command> MakeVerifyCommand() { return std::make_unique<VerifyCommand>(); }

}  // namespace cairn
