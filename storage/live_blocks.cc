#include "storage/live_blocks.h"

#include <algorithm>

namespace cairn {

void LiveBlocks::Add(const SessionRecord& session, const BlockGrid& grid) {
  for (const ExtentRange& range : session.ranges) {
    Extent& extent = extents_[range.extent];
    extent.end = std::max(extent.end, uint64_t{range.first} + range.count);
    extent.grid = grid;
  }
}

bool LiveBlocks::Covers(const BlockId& id) const {
  const auto found = extents_.find(id.extent);
  if (found == extents_.end()) return false;
  const auto& [end, grid] = found->second;
  return id.ordinal < end && id.layer < grid.layers && id.head < grid.heads;
}

uint64_t LiveBlocks::Before(const Extent& extent, const BlockId& id, bool with) {
  const uint64_t each = extent.grid.blocks();
  if (id.ordinal >= extent.end) return extent.end * each;
  // An id outside of the grid stands behind its layer or row of heads.
  const uint64_t layer = std::min<uint64_t>(id.layer, extent.grid.layers);
  const uint64_t heads =
      layer < id.layer ? 0 : std::min<uint64_t>(id.head + (with ? 1 : 0), extent.grid.heads);
  return id.ordinal * each + std::min(each, layer * extent.grid.heads + heads);
}

uint64_t LiveBlocks::Count(const BlockId& first, const BlockId& last) const {
  uint64_t count = 0;
  for (auto it = extents_.lower_bound(first.extent);
       it != extents_.end() && it->first <= last.extent; ++it) {
    const auto& [number, extent] = *it;
    const uint64_t end =
        number == last.extent ? Before(extent, last, true) : extent.end * extent.grid.blocks();
    count += end - (number == first.extent ? Before(extent, first, false) : 0);
  }
  return count;
}

}  // namespace cairn
