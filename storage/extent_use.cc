#include "storage/extent_use.h"

#include <algorithm>

namespace cairn {

ExtentUse::ExtentUse(const std::vector<SessionRecord>& sessions) {
  for (const SessionRecord& session : sessions) {
    for (const ExtentRange& range : session.ranges) {
      uint64_t& end = ends_[range.extent];
      end = std::max(end, uint64_t{range.first} + range.count);
    }
  }
}

uint64_t ExtentUse::End(uint64_t extent) const {
  const auto found = ends_.find(extent);
  return found == ends_.end() ? 0 : found->second;
}

uint64_t ExtentUse::BlocksBehind(const std::vector<ExtentRange>& ranges) const {
  uint64_t blocks = 0;
  for (const ExtentRange& range : ranges) {
    const uint64_t first = range.first, end = first + range.count;
    blocks += end - std::clamp(End(range.extent), first, end);
  }
  return blocks;
}

}  // namespace cairn
