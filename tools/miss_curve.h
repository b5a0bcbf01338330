// The miss-ratio curve of a trace: which share of the blocks fetched is not in a memory of such a
// size, policy by policy.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "tools/cache_replay.h"

namespace cairn {

/// "default", "lru", "clock", "s3-fifo" and "optimum".
std::span<const char* const> PolicyNames();
/// kInvalidArgument names a policy that there is not. `replay` must outlive it.
Result<std::unique_ptr<CachePolicy>> MakePolicy(std::string_view name, uint32_t slots,
                                                const CacheReplay& replay);

/// {"name", "distinct_blocks", "fetched_blocks", "points": [{"percent", "slots",
/// "miss_ratio": {policy: 0 to 1}}]}, from 1 to 100 percent of the blocks in memory.
nlohmann::json MissCurveJson(const std::string& name, const CacheReplay& replay);

}  // namespace cairn
