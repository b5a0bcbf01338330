#include "tools/store_check.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "tools/session_check.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

bool FoundBefore(const std::vector<FoundDamage>& before, const FoundDamage& now) {
  return std::ranges::any_of(before, [&](const FoundDamage& was) {
    return was.damage.session == now.damage.session && was.damage.block == now.damage.block;
  });
}

/// Everything of the sessions named, or of all if none is.
Result<StoreCheck> CheckOnce(const RunOptions& run, const std::set<std::string>& names,
                             bool quiet) {
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
  bool any = run.session.empty() || !check.findings.empty();
  for (const SessionRecord& record : records) {
    if (!names.empty() && !names.contains(record.name)) continue;
    any = true;
    CAIRN_TRY(const SessionCheck session, CheckSession(record, quiet, verifier));
    take(session.block_tokens);
  }
  check.totals = verifier.totals();
  if (any) return check;
  CAIRN_TRY(auto catalog, SessionCatalog::Open(*cold, true));
  CAIRN_TRY(catalog.Find(run.session));  // which says what sessions there are
  return check;
}

}  // namespace

std::string PlaceOf(const FoundDamage& finding) {
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

Result<StoreCheck> CheckStore(const RunOptions& run, bool quiet) {
  std::set<std::string> names;
  if (!run.session.empty()) {
    CAIRN_TRY(SessionCatalog::ValidateName(run.session));
    names.insert(run.session);
  }
  CAIRN_TRY(auto check, CheckOnce(run, names, quiet));
  if (check.findings.empty()) return check;
  std::set<std::string> damaged;
  for (const FoundDamage& finding : check.findings) damaged.insert(finding.damage.session);
  CAIRN_TRY(auto again, CheckOnce(run, damaged, quiet));
  std::erase_if(again.findings,
                [&](const FoundDamage& now) { return !FoundBefore(check.findings, now); });
  check.findings = std::move(again.findings);
  return check;
}

}  // namespace cairn
