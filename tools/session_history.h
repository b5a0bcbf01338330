// SessionHistory: how a session grew, step by step: a step is a commit that brought tokens, or what
// a fork, an import or a repair began with. When that was is not stored.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "tools/stored_session.h"

namespace cairn {

/// What the session had behind one of its steps.
struct HistoryStep {
  uint64_t tokens = 0;
  uint64_t rows = 0;    ///< tokens, and landmarks if there are any
  uint64_t blocks = 0;  ///< complete ones, each of all layers and heads
};

/// Of the steps that the catalog has; the last has all of the session.
Result<std::vector<HistoryStep>> HistoryOf(const SessionCatalog& catalog,
                                           const StoredSession& session);

/// A list: for each step what it `added`, and what there was behind it.
nlohmann::json HistoryJson(const std::vector<HistoryStep>& steps, uint64_t ordinal_bytes);
/// One line: how many steps, and how large.
std::string DescribeGrowth(const std::vector<HistoryStep>& steps, uint64_t ordinal_bytes);
/// A line for each step.
std::string HistoryTable(const std::vector<HistoryStep>& steps, uint64_t ordinal_bytes);

}  // namespace cairn
