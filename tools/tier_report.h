// The table of tiers: what each holds and how fetches went, and who made the steps, for people and
// as JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/step_counts.h"
#include "storage/tiered_store.h"

namespace cairn {

/// `stored_bytes`: payload bytes of the session's sealed blocks; what the host tier does not hold
/// of them is on disk only.
nlohmann::json TiersJson(const std::vector<TierReport>& tiers, uint64_t stored_bytes,
                         const StepCounts& steps);
/// What each tier holds, short: "host 253.5 MiB, cold 1.2 GiB".
std::string TiersLine(const std::vector<TierReport>& tiers);
std::string TiersTable(const std::vector<TierReport>& tiers, uint64_t stored_bytes,
                       const StepCounts& steps);

}  // namespace cairn
