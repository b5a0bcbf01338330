// BlockMap: where a session's blocks are stored: its block ordinals as ranges of extents.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "storage/block_id.h"

namespace cairn {

class BlockMap {
 public:
  BlockMap() = default;
  explicit BlockMap(const std::vector<ExtentRange>& ranges) {
    for (const ExtentRange& range : ranges) Append(range);
  }

  int64_t size() const { return size_; }
  const std::vector<ExtentRange>& ranges() const { return ranges_; }

  /// Adds blocks at the end; they join the last range if they continue it.
  void Append(const ExtentRange& range) {
    if (range.count == 0) return;
    if (!ranges_.empty() && ranges_.back().extent == range.extent &&
        ranges_.back().first + ranges_.back().count == range.first) {
      ranges_.back().count += range.count;
    } else {
      ranges_.push_back(range);
      starts_.push_back(size_);
    }
    size_ += range.count;
  }

  /// The session's block that is `ordinal` of `extent`; −1 if it has none such.
  int64_t Find(uint64_t extent, uint32_t ordinal) const {
    for (size_t i = 0; i < ranges_.size(); ++i) {
      const ExtentRange& range = ranges_[i];
      const bool inside = range.first <= ordinal && ordinal - range.first < range.count;
      if (range.extent == extent && inside) return starts_[i] + (ordinal - range.first);
    }
    return -1;
  }

  /// Identity of one layer's and head's part of block `block`.
  BlockId Id(int64_t block, int32_t layer, int32_t head) const {
    CAIRN_CHECK(block >= 0 && block < size_);
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), block);
    const auto i = static_cast<size_t>(after - starts_.begin() - 1);
    return {ranges_[i].extent, ranges_[i].first + static_cast<uint32_t>(block - starts_[i]),
            static_cast<uint16_t>(layer), static_cast<uint16_t>(head)};
  }

 private:
  std::vector<ExtentRange> ranges_;
  std::vector<int64_t> starts_;  // session ordinal of each range's first block
  int64_t size_ = 0;
};

}  // namespace cairn
