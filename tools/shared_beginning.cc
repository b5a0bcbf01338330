#include "tools/shared_beginning.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "engine/fork_point.h"
#include "engine/stored_shape.h"

namespace cairn {
namespace {

/// Why no token can be shared, before tokens are looked at; empty if nothing is known against it.
std::string WhyNot(const SessionRecord& record, const NewSession& wanted, SessionProfile& profile) {
  const auto stored = ParseStoredShape(record.properties);
  if (!stored) return stored.error().message;
  auto read = SessionProfile::FromJson(stored.value().properties);
  if (!read) return read.error().message;
  profile = std::move(read).value();
  std::string unlike = profile.WhyNotAlike(wanted.profile);
  if (!unlike.empty()) return unlike;
  if (stored.value().shape != wanted.shape) {
    return fmt::format("its blocks are {}", stored.value().shape);
  }
  const auto block_tokens = TokensPerBlock(record);
  if (!block_tokens) return block_tokens.error().message;
  if (profile.beginning.tokens == 0) {
    return "nothing is known of it that was read in full steps from the first token on";
  }
  if (profile.beginning.reading != wanted.reading) {
    return fmt::format("it was read with {}", profile.beginning.reading);
  }
  return "";
}

BeginningMatch Match(const SessionCatalog& catalog, const SessionRecord& record,
                     const NewSession& wanted) {
  BeginningMatch match;
  match.record = record;
  SessionProfile profile;
  match.why = WhyNot(record, wanted, profile);
  if (!match.why.empty()) return match;
  const auto tokens = catalog.ReadTokens(record);
  if (!tokens) {
    match.why = tokens.error().message;
    return match;
  }
  const auto unequal = std::ranges::mismatch(wanted.tokens, tokens.value());
  match.common = unequal.in1 - wanted.tokens.begin();
  match.tokens = LastStepEnd(profile, std::min(match.common, profile.beginning.tokens), true);
  if (match.tokens == 0) {
    match.why = fmt::format("{} tokens at the beginning are equal and {} in full steps, too few",
                            match.common, profile.beginning.tokens);
  }
  return match;
}

}  // namespace

Result<std::vector<BeginningMatch>> FindBeginnings(const SessionCatalog& catalog,
                                                   const NewSession& wanted) {
  CAIRN_TRY(const SessionList all, catalog.List());
  std::vector<BeginningMatch> matches;
  for (const SessionRecord& record : all.sessions) {
    matches.push_back(Match(catalog, record, wanted));
  }
  for (const UnreadableSession& session : all.unreadable) {
    matches.push_back({.record = {.name = session.name}, .why = session.what});
  }
  std::ranges::stable_sort(matches, std::greater<>(), &BeginningMatch::tokens);
  return matches;
}

Result<std::optional<BeginningMatch>> ForkBeginning(ColdStore& cold, SessionCatalog& catalog,
                                                    const NewSession& wanted,
                                                    const std::string& name,
                                                    std::vector<BeginningMatch>& matches,
                                                    BlockWatch watch) {
  for (BeginningMatch& match : matches) {
    if (match.tokens == 0) break;
    SessionProfile profile = wanted.profile;
    profile.beginning = {match.tokens, wanted.reading};
    const auto point = ForkPointBehind(cold, match.record, match.tokens / profile.block_tokens,
                                       profile.ToJson(), watch);
    if (!point) {
      if (point.error().code == Errc::kInterrupted) return point.as_failure();
      match.tokens = 0;
      match.why = point.error().message;
      continue;
    }
    CAIRN_TRY(catalog.Fork(match.record, name, point.value()));
    return std::optional<BeginningMatch>(match);
  }
  return std::optional<BeginningMatch>();
}

}  // namespace cairn
