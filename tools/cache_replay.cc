#include "tools/cache_replay.h"

#include <algorithm>
#include <numeric>

namespace cairn {

CacheReplay::CacheReplay(const AccessLog& log) {
  size_t accesses = 0;
  for (const AccessLog::Event& event : log.events) {
    if (event.kind == AccessKind::kDiscard) continue;
    const auto ids = log.Of(event);
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    accesses += ids.size();
  }
  std::ranges::sort(ids_);
  ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
  all_.resize(ids_.size());
  std::iota(all_.begin(), all_.end(), 0);
  numbers_.reserve(accesses);  // spans of it stay valid
  for (const AccessLog::Event& event : log.events) {
    const auto ids = log.Of(event);
    const bool drops = event.kind == AccessKind::kDiscard;
    events_.push_back({drops, drops ? Dropped(ids[0]) : Distinct(ids)});
    counts_.push_back(event.kind == AccessKind::kFetch);
    if (counts_.back()) fetched_ += events_.back().blocks.size();
    if (!drops) widest_ = std::max(widest_, static_cast<uint32_t>(events_.back().blocks.size()));
  }
}

std::span<const uint32_t> CacheReplay::Dropped(const BlockId& from) const {
  const BlockId first{.extent = from.extent, .ordinal = from.ordinal};
  const auto begin = std::ranges::lower_bound(ids_, first);
  const auto end = std::ranges::upper_bound(ids_, from.extent, {}, &BlockId::extent);
  return {all_.begin() + (begin - ids_.begin()), all_.begin() + (end - ids_.begin())};
}

std::span<const uint32_t> CacheReplay::Distinct(std::span<const BlockId> ids) {
  const auto begin = static_cast<ptrdiff_t>(numbers_.size());
  for (const BlockId& id : ids) {
    const auto number = static_cast<uint32_t>(std::ranges::lower_bound(ids_, id) - ids_.begin());
    // At most some hundred blocks: looking at all of them is quick enough.
    if (std::find(numbers_.begin() + begin, numbers_.end(), number) == numbers_.end()) {
      numbers_.push_back(number);
    }
  }
  return {numbers_.begin() + begin, numbers_.end()};
}

double CacheReplay::HitRatio(CachePolicy& policy) const {
  return HitRatio(policy, [](uint16_t, uint32_t, uint32_t) {});
}

double CacheReplay::HitRatio(CachePolicy& policy, Fetched fetched) const {
  uint64_t hits = 0;
  for (size_t i = 0; i < events_.size(); ++i) {
    if (events_[i].drops) {
      for (const uint32_t block : events_[i].blocks) policy.Drop(block);
      continue;
    }
    const std::span<const uint32_t> blocks = events_[i].blocks;
    if (counts_[i]) {
      const uint32_t found = policy.Access(blocks);
      hits += found;
      fetched(ids_[blocks[0]].layer, static_cast<uint32_t>(blocks.size()), found);
    } else {
      policy.Seal(events_[i].blocks[0]);
    }
  }
  return fetched_ == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(fetched_);
}

}  // namespace cairn
