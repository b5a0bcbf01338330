// SharedBeginning: the session of a store that a new one has most in common with, and the fork that
// begins the new one with it. For `cairn ingest --dedup`.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/payload_chain.h"
#include "storage/cold_store.h"
#include "storage/session_catalog.h"
#include "tools/session_profile.h"

namespace cairn {

/// A session that was looked at.
struct BeginningMatch {
  SessionRecord record{};
  int64_t common = 0;  ///< tokens at the beginning that are equal
  int64_t tokens = 0;  ///< of them, those that can be shared
  std::string why{};   ///< why none can; empty if some can
};

/// What a session made from nothing has to be equal in.
struct NewSession {
  SessionProfile profile{};            ///< with the text that is to be read
  std::string shape{};                 ///< as DescribeShape says it
  std::string reading{};               ///< as ReadingText says it
  std::span<const uint32_t> tokens{};  ///< that it begins with
};

/// Compares the new session with all others that can be read; those that share most come first.
Result<std::vector<BeginningMatch>> FindBeginnings(const SessionCatalog& catalog,
                                                   const NewSession& wanted);

/// Makes session `name` from the first of `matches` whose blocks are whole, all of which it reads
/// and checks; one that is damaged gets a reason in its place. Gives the match that was used, none
/// if there is none. One atomic step.
Result<std::optional<BeginningMatch>> ForkBeginning(ColdStore& cold, SessionCatalog& catalog,
                                                    const NewSession& wanted,
                                                    const std::string& name,
                                                    std::vector<BeginningMatch>& matches,
                                                    BlockWatch watch);

}  // namespace cairn
