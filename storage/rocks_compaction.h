// RocksCompaction: small segments, and those that are mostly of no use, copied together into new
// ones. Part of RocksColdStore.
//
// A few segments at a time, so that little free space is needed at once: their runs are copied as
// they are and made durable, one change of the catalog puts the copies in their place, and then the
// old files go. A stop at any moment leaves the old or the new.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "storage/rocks_blocks.h"
#include "storage/rocks_cold_store.h"
#include "storage/rocks_database.h"

namespace cairn {

class RocksCompaction {
 public:
  /// Makes a batch durable.
  using Commit = FunctionRef<Status(const RocksDatabase::Access&, rocksdb::WriteBatch&)>;

  /// Both must outlive it.
  RocksCompaction(RocksDatabase& database, RocksBlocks& blocks,
                  const RocksColdStoreOptions& options)
      : database_(database), blocks_(blocks), options_(options) {}

  /// Adds to `report` what was done, also before an error.
  Status Run(Commit commit, CompactionWatch watch, CompactionReport& report);

 private:
  /// Runs of segments that become one.
  struct Group {
    std::vector<RunMap::Entry> runs{};
    uint64_t bytes = 0;
    uint64_t segments = 0;
    bool wasteful = false;  // what they occupy is more than their runs
  };

  Result<std::vector<Group>> Plan();
  Status CheckSpace(const Group& group) const;
  Status Rewrite(const RocksDatabase::Access& access, Group& group, Commit commit,
                 CompactionReport& report);

  RocksDatabase& database_;
  RocksBlocks& blocks_;
  const RocksColdStoreOptions& options_;
};

}  // namespace cairn
