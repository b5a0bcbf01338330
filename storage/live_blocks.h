// LiveBlocks: which blocks of a store its sessions cover, all layers and heads of each, so that
// what nobody covers can be told from it, block by block and in numbers.
#pragma once

#include <cstdint>
#include <map>

#include "storage/block_id.h"
#include "storage/block_scan.h"
#include "storage/session_catalog.h"

namespace cairn {

class LiveBlocks {
 public:
  /// `grid` says which blocks the session has of each ordinal.
  void Add(const SessionRecord& session, const BlockGrid& grid);

  /// False for a block behind all that sessions cover of its extent.
  bool Covers(const BlockId& id) const;
  /// How many blocks are covered of those from `first` to `last`, both included.
  uint64_t Count(const BlockId& first, const BlockId& last) const;

 private:
  struct Extent {
    uint64_t end = 0;  // the ordinal behind the last one that a session covers
    BlockGrid grid{};
  };
  /// Covered blocks of the extent before `id`, or up to and with it.
  static uint64_t Before(const Extent& extent, const BlockId& id, bool with);

  std::map<uint64_t, Extent> extents_;
};

}  // namespace cairn
