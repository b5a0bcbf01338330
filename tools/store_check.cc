#include "tools/store_check.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/session_check.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

constexpr const char* kWhatHelpsToRead =
    "Make sure that its files may be read and enough of them be open, that there is memory and the "
    "disk works; then try again";

nlohmann::json FindingJson(const CheckFinding& finding) {
  const Damage& damage = finding.damage;
  nlohmann::json json{{"message", damage.what}, {"unreadable", damage.unreadable()}};
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

bool FoundBefore(const std::vector<CheckFinding>& before, const CheckFinding& now) {
  return std::ranges::any_of(before, [&](const CheckFinding& was) {
    return was.damage.session == now.damage.session && was.damage.block == now.damage.block;
  });
}

/// One look at the store. `any`: whether there is something to look at.
Result<StoreCheck> CheckOnce(const RunOptions& run, const std::set<std::string>& names, bool quiet,
                             bool* any) {
  CAIRN_TRY(auto cold, OpenStore(run, false, true));
  Verifier verifier(*cold);
  CAIRN_TRY(auto records, verifier.CheckStore());
  StoreCheck check;
  size_t found = 0;
  const auto take = [&](int64_t block_tokens) {
    for (; found < verifier.damages().size(); ++found) {
      const Damage& damage = verifier.damages()[found];
      if (!names.empty() && !damage.session.empty() && !names.contains(damage.session)) continue;
      const auto first = static_cast<int64_t>(damage.ordinal) * block_tokens;
      check.findings.push_back({damage, first, first + block_tokens - 1});
    }
  };
  take(0);
  *any = names.empty() || !check.findings.empty();
  for (const SessionRecord& record : records) {
    if (!names.empty() && !names.contains(record.name)) continue;
    *any = true;
    CAIRN_TRY(const SessionCheck session, CheckSession(record, quiet, verifier));
    take(session.block_tokens);
  }
  check.totals = verifier.totals();
  return check;
}

}  // namespace

size_t StoreCheck::unreadable() const {
  return static_cast<size_t>(std::ranges::count_if(
      findings, [](const CheckFinding& finding) { return finding.damage.unreadable(); }));
}

Result<StoreCheck> CheckStore(const RunOptions& run, const std::set<std::string>& names,
                              bool quiet) {
  bool any = false;
  CAIRN_TRY(StoreCheck check, CheckOnce(run, names, quiet, &any));
  if (!any) {
    CAIRN_TRY(auto cold, OpenStore(run, false, true));
    CAIRN_TRY(auto catalog, SessionCatalog::Open(*cold, true));
    CAIRN_TRY(catalog.Find(*names.begin()));  // which says what sessions there are
  }
  if (check.findings.empty()) return check;
  std::set<std::string> damaged;
  for (const CheckFinding& finding : check.findings) damaged.insert(finding.damage.session);
  CAIRN_TRY(StoreCheck again, CheckOnce(run, damaged, quiet, &any));
  std::erase_if(again.findings,
                [&](const CheckFinding& now) { return !FoundBefore(check.findings, now); });
  check.findings = std::move(again.findings);
  return check;
}

nlohmann::json ToJson(const StoreCheck& check) {
  nlohmann::json damaged = nlohmann::json::array();
  for (const CheckFinding& finding : check.findings) damaged.push_back(FindingJson(finding));
  return {{"sessions", check.totals.sessions},
          {"entries", check.totals.entries},
          {"block_records", check.totals.blocks},
          {"payload_bytes", check.totals.payload_bytes},
          {"damaged", std::move(damaged)}};
}

std::string PlaceOf(const CheckFinding& finding) {
  const Damage& damage = finding.damage;
  std::string place =
      damage.session.empty() ? "store" : fmt::format("session '{}'", damage.session);
  if (damage.block.has_value()) {
    place +=
        fmt::format(" layer {} head {} block {} (tokens {} to {})", damage.block->layer,
                    damage.block->head, damage.ordinal, *finding.first_token, *finding.last_token);
  }
  return place;
}

Status Verdict(const StoreCheck& check, const std::string& store) {
  if (check.findings.empty()) return Ok();
  const size_t unreadable = check.unreadable(), damaged = check.findings.size() - unreadable;
  if (damaged == 0) return CannotBeRead(check.findings.front().damage, store);
  if (unreadable > 0) {
    return Fail(Errc::kCorruption,
                "the store {} is damaged in {} places, and {} more cannot be read now and may be "
                "whole. {}",
                store, damaged, unreadable, kWhatHelpsToRead);
  }
  return Fail(Errc::kCorruption,
              "the store {} is damaged in {} places; restore it from a copy, or let `cairn repair` "
              "compute again what is damaged (--session and --model), or cut it off (--cut)",
              store, damaged);
}

Error CannotBeRead(const Damage& damage, const std::string& store) {
  return Fail(damage.code, "something of the store {} cannot be read now, and may be whole: {}. {}",
              store, damage.what, kWhatHelpsToRead);
}

std::string Describe(const CheckFinding& finding) {
  return fmt::format("{} {}: {}", finding.damage.unreadable() ? "unreadable" : "damaged   ",
                     PlaceOf(finding), finding.damage.what);
}

}  // namespace cairn
