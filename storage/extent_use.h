// ExtentUse: how far sessions reach into extents, and so which blocks nobody needs.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "storage/block_id.h"
#include "storage/session_catalog.h"

namespace cairn {

class ExtentUse {
 public:
  explicit ExtentUse(const std::vector<SessionRecord>& sessions);

  bool Names(uint64_t extent) const { return ends_.contains(extent); }
  /// The ordinal behind the last one that a session covers; 0 if none does.
  uint64_t End(uint64_t extent) const;
  /// How many blocks of `ranges` lie behind the ends of their extents.
  uint64_t BlocksBehind(const std::vector<ExtentRange>& ranges) const;
  /// The extents that sessions name, and their ends.
  const std::map<uint64_t, uint64_t>& ends() const { return ends_; }

 private:
  std::map<uint64_t, uint64_t> ends_;
};

}  // namespace cairn
