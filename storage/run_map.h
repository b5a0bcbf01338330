// RunMap: all runs of a store in memory, by their first block; finds the run that has a block, what
// a drop takes away, and which bytes of a segment are in use. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "storage/block_id.h"
#include "storage/block_run.h"

namespace cairn {

/// Bytes [begin, end) of a file.
struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;
};

class RunMap {
 public:
  struct Entry {
    BlockRun run{};
    std::vector<uint64_t> checksums{};  ///< one for each block; empty until they were wanted
    bool stored = false;                ///< the catalog may have it
    bool known = true;                  ///< false: its entry cannot be read
    std::string damage{};               ///< why its blocks cannot be read; empty: they can
  };

  void Add(Entry entry);
  /// The run that has the block, or the unknown one that may have it; null if there is none.
  Entry* Find(const BlockId& id);
  /// The run that begins with this block; null if there is none.
  Entry* FindFirst(const BlockId& first);
  /// The last block of the extent; empty if it has no runs.
  std::optional<BlockId> LastOf(uint64_t extent) const;

  /// What goes when an extent is cut: whole runs, and the end of one.
  struct Cut {
    std::vector<BlockId> gone{};  ///< their first blocks
    std::optional<BlockRun> shortened{};
    bool empty() const { return gone.empty() && !shortened; }
  };
  Cut PlanCut(uint64_t extent, uint32_t from) const;
  void Apply(const Cut& cut);

  /// Those that have runs, ascending.
  std::vector<uint64_t> Extents() const;
  /// What runs occupy of each segment, in whole pages, by offset.
  std::map<uint64_t, std::vector<ByteRange>> InUse() const;
  /// Payloads of all runs.
  uint64_t payload_bytes() const;
  /// False if a run is unknown: it may lie anywhere.
  bool complete() const;
  std::map<BlockId, Entry>& entries() { return entries_; }
  const std::map<BlockId, Entry>& entries() const { return entries_; }

 private:
  std::map<BlockId, Entry> entries_;
};

}  // namespace cairn
