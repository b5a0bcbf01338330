#include "engine/steady_blocks.h"

#include <algorithm>

namespace cairn {

void SteadyBlocks::Note(std::span<const BlockId> ids) {
  sorted_.assign(ids.begin(), ids.end());
  std::ranges::sort(sorted_);
  sorted_.erase(std::unique(sorted_.begin(), sorted_.end()), sorted_.end());
  next_.clear();
  steady_.clear();
  auto before = runs_.begin();
  for (const BlockId& id : sorted_) {
    while (before != runs_.end() && before->id < id) ++before;
    const bool goes_on = before != runs_.end() && before->id == id;
    const uint32_t steps = goes_on ? std::min(before->steps + 1, kSteps) : 1;
    next_.push_back({id, steps});
    if (steps == kSteps) steady_.push_back(id);
  }
  std::swap(runs_, next_);
}

}  // namespace cairn
