// RocksCompaction: small table files of block records merged into large ones, and records that no
// session covers left out. Part of RocksColdStore.
//
// RocksDB rewrites files and puts the new ones in the place of the old by one synced change of its
// manifest; a stop at any moment leaves the old or the new. It is asked for one run of neighbouring
// files at a time, so that little free space is needed at once. Only the bottom level is touched,
// where finished files go; RocksDB itself merges the few above.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "storage/live_blocks.h"
#include "storage/rocks_cold_store.h"
#include "storage/rocks_database.h"

namespace cairn {

class RocksCompaction {
 public:
  /// `live` may be null: then nothing is left out. All must outlive it.
  RocksCompaction(RocksDatabase& database, const LiveBlocks* live, const CompactionLimits& limits,
                  uint64_t disk_limit_bytes)
      : database_(database), live_(live), limits_(limits), disk_limit_bytes_(disk_limit_bytes) {}

  /// Adds to `report` what was done, also before an error.
  Status Run(CompactionWatch watch, CompactionReport& report);

 private:
  /// Neighbouring files that become one, or several of the largest size.
  struct FileRun {
    std::vector<std::string> names{};
    uint64_t bytes = 0;
    uint64_t first_extent = 0;
    uint64_t last_extent = 0;
    bool due = false;  // there is something to merge or to leave out
  };

  Result<std::vector<FileRun>> Plan(const RocksDatabase::Access& access) const;
  bool Joins(const FileRun& run, const FileRun& file) const;
  Status CheckSpace(const FileRun& run) const;
  Status Rewrite(const FileRun& run);

  RocksDatabase& database_;
  const LiveBlocks* live_;
  const CompactionLimits limits_;
  const uint64_t disk_limit_bytes_;
};

}  // namespace cairn
