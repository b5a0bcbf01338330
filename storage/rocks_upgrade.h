// Brings a store of an older format to the present one.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/parallel.h"

namespace rocksdb {
class Env;
}

namespace cairn {

struct UpgradeReport {
  uint32_t format_before = 0;
  uint64_t blocks = 0;  ///< that were copied
  uint64_t payload_bytes = 0;
};

/// Sees how many payload bytes were copied; its error ends the upgrade, and the store is what it
/// was.
using UpgradeWatch = FunctionRef<Status(uint64_t payload_bytes)>;

/// From format 1, which has block records in RocksDB: each is checked and its payload copied to a
/// segment, for which the disk needs as much free space again; then the entry 'format' makes it the
/// new store in one atomic step, and the records go. A kill at any moment leaves the old or the new
/// store, whole. kCorruption naming what is damaged in the old one, which stays as it is;
/// kNotFound, kBusy and kUnsupported as RocksColdStore::Open.
/// `env` as in RocksColdStoreOptions.
Result<UpgradeReport> UpgradeStore(const std::string& directory, UpgradeWatch watch,
                                   rocksdb::Env* env = nullptr);

}  // namespace cairn
