// Belady's MIN over a trace that is known in advance.
#include <set>

#include "base/check.h"
#include "tools/cache_policy.h"

namespace cairn {
namespace {

constexpr uint32_t kNever = UINT32_MAX;

class Optimum final : public CachePolicy {
 public:
  Optimum(uint32_t slots, uint32_t blocks, std::span<const CacheEvent> events)
      : slots_(slots), there_(blocks), next_(blocks, kNever) {
    // Backwards: when each block of an access is wanted next. A drop ends what was wanted before.
    for (size_t i = events.size(); i > 0; --i) {
      const CacheEvent& event = events[i - 1];
      for (size_t j = event.blocks.size(); j > 0; --j) {
        const uint32_t block = event.blocks[j - 1];
        if (!event.drops) uses_.push_back(next_[block]);
        next_[block] = event.drops ? kNever : static_cast<uint32_t>(i - 1);
      }
    }
  }

  uint32_t Access(std::span<const uint32_t> blocks) override {
    uint32_t hits = 0;
    for (const uint32_t block : blocks) {
      if (!there_[block]) continue;
      ++hits;
      held_.erase({next_[block], block});  // may not go for the others
    }
    const size_t kept = slots_ - blocks.size();
    while (held_.size() > kept) {
      const auto last = std::prev(held_.end());
      there_[last->second] = false;
      held_.erase(last);
    }
    for (const uint32_t block : blocks) {
      CAIRN_CHECK(!uses_.empty());
      next_[block] = uses_.back();
      uses_.pop_back();
      there_[block] = true;
      held_.insert({next_[block], block});
    }
    return hits;
  }

  void Drop(uint32_t block) override {
    if (!there_[block]) return;
    held_.erase({next_[block], block});
    there_[block] = false;
  }

 private:
  const uint32_t slots_;
  std::vector<bool> there_;
  std::vector<uint32_t> next_;                    // by block that is there: wanted next
  std::vector<uint32_t> uses_;                    // the same after each use to come, last first
  std::set<std::pair<uint32_t, uint32_t>> held_;  // (wanted next, block)
};

}  // namespace

std::unique_ptr<CachePolicy> MakeOptimum(uint32_t slots, uint32_t blocks,
                                         std::span<const CacheEvent> events) {
  return std::make_unique<Optimum>(slots, blocks, events);
}

}  // namespace cairn
