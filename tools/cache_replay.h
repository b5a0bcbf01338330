// CacheReplay: a recorded trace, ready to pass through policies.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "storage/access_trace.h"
#include "tools/cache_policy.h"

namespace cairn {

class CacheReplay {
 public:
  explicit CacheReplay(const AccessLog& log);
  // The events point into it.
  CacheReplay(const CacheReplay&) = delete;
  CacheReplay& operator=(const CacheReplay&) = delete;

  /// Share of the blocks fetched that were there; blocks asked for twice in one fetch count once,
  /// sealed ones do not count. 0 if nothing was fetched.
  double HitRatio(CachePolicy& policy) const;
  /// The same; `fetched` is told of each fetch: its layer, its blocks, and how many were there.
  using Fetched = FunctionRef<void(uint16_t layer, uint32_t blocks, uint32_t hits)>;
  double HitRatio(CachePolicy& policy, Fetched fetched) const;

  std::span<const CacheEvent> events() const { return events_; }
  /// Distinct blocks, by number.
  std::span<const BlockId> ids() const { return ids_; }
  uint32_t blocks() const { return static_cast<uint32_t>(ids_.size()); }
  uint64_t fetched() const { return fetched_; }
  /// The most distinct blocks of one access: the fewest slots that work.
  uint32_t widest() const { return widest_; }

 private:
  std::span<const uint32_t> Dropped(const BlockId& from) const;
  std::span<const uint32_t> Distinct(std::span<const BlockId> ids);

  std::vector<BlockId> ids_;       // ascending
  std::vector<uint32_t> all_;      // every number, for drops
  std::vector<uint32_t> numbers_;  // of all accesses
  std::vector<CacheEvent> events_;
  std::vector<bool> counts_;  // by event: a fetch
  uint64_t fetched_ = 0;
  uint32_t widest_ = 1;
};

}  // namespace cairn
