// NearKeys: the landmark keys of the last blocks, in f32, for scoring them at slots of their own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/check.h"

namespace cairn {

/// Per partition, block-relative keys [blocks, D] of consecutive ordinals ending at size().
class NearKeys {
 public:
  NearKeys(int32_t partitions, int32_t dim) : dim_(dim), keys_(static_cast<size_t>(partitions)) {}

  /// The first ordinal that is kept.
  int64_t first() const { return first_; }
  int64_t size(int32_t partition) const {
    return first_ + static_cast<int64_t>(keys_[partition].size()) / dim_;
  }
  const float* at(int32_t partition, int64_t block) const {
    CAIRN_CHECK(block >= first_ && block < size(partition));
    return keys_[partition].data() + (block - first_) * dim_;
  }
  void Add(int32_t partition, const float* key) {
    keys_[partition].insert(keys_[partition].end(), key, key + dim_);
  }
  /// Forgets ordinals ≥ size in all partitions.
  void Truncate(int64_t size) {
    for (auto& keys : keys_) {
      const int64_t keep = std::max<int64_t>(0, size - first_) * dim_;
      if (static_cast<int64_t>(keys.size()) > keep) keys.resize(static_cast<size_t>(keep));
    }
  }
  /// Forgets ordinals < first in all partitions, which hold equally many.
  void DropBefore(int64_t first) {
    if (first <= first_) return;
    for (auto& keys : keys_) {
      const int64_t drop = std::min<int64_t>((first - first_) * dim_, std::ssize(keys));
      keys.erase(keys.begin(), keys.begin() + drop);
    }
    first_ = first;
  }

 private:
  int32_t dim_;
  int64_t first_ = 0;
  std::vector<std::vector<float>> keys_;
};

}  // namespace cairn
