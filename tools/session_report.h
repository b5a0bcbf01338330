// SessionReport: what can be said of a store's sessions without reading their blocks: all in a few
// words, or one in full.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/error.h"
#include "storage/session_catalog.h"
#include "tools/session_history.h"
#include "tools/stored_session.h"

namespace cairn {

/// Each object has the keys that docs/cli.md lists for `sessions list`.
struct SessionListing {
  nlohmann::json sessions = nlohmann::json::array();  ///< in the catalog's order
  nlohmann::json damaged = nlohmann::json::array();   ///< `name` and `message` each
  /// The same sessions as a tree: forks below what they share with, and how deep each stands.
  std::vector<std::pair<nlohmann::json, int>> tree{};
  uint64_t disk_bytes = 0;
};

SessionListing ListSessions(SessionList all, uint64_t disk_bytes);
nlohmann::json ToJson(const SessionListing& listing);

/// One session, with the keys of `sessions show`.
Result<nlohmann::json> DescribeSession(const SessionCatalog& catalog, const StoredSession& session,
                                       const std::vector<HistoryStep>& history);

}  // namespace cairn
