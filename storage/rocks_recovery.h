// What is looked at in a store's database before RocksDB opens it, and what is done to it before a
// writer does. Part of RocksDatabase.
//
// RocksDB reads a log up to an end that is cut short, and refuses one whose end is torn otherwise:
// a disk may lose an early sector of what was being written and keep a later one. What lies behind
// the mark (acknowledged.h) was never acknowledged; torn, it is cut off here. What lies before the
// mark is never touched.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/acknowledged.h"
#include "storage/rocks_options.h"
#include "storage/store_directory.h"

namespace cairn {

/// Cuts off what a power cut has torn in the logs, and makes durable what a killed process, or one
/// whose sync has failed, has left in them; without a mark only the latter. As CheckLogs:
/// kCorruption if what was acknowledged is not whole. kOutOfSpace: a log with changes that were not
/// acknowledged is written anew, and the disk has no room for it.
Status PrepareToWrite(const RocksSetup& setup, const StoreDirectory& directory,
                      const std::optional<Acknowledged>& mark);

/// For a database that cannot be opened: when the sync of a manifest has failed, it may name files
/// that RocksDB has deleted again. True if without what lies behind the mark all is there that was
/// acknowledged; then that is cut off.
Result<bool> CutUnacknowledged(const RocksSetup& setup, const StoreDirectory& directory,
                               const Acknowledged& mark);

/// Names of the log files, in the order of their numbers.
Result<std::vector<std::string>> ListLogs(const RocksSetup& setup, const StoreDirectory& directory);

/// kCorruption if the manifest or a log has less than was acknowledged. For readers.
Status CheckLogs(const RocksSetup& setup, const StoreDirectory& directory,
                 const Acknowledged& mark);

/// kCorruption: the database has changes up to `sequence` and more were acknowledged.
Status CheckSequence(const StoreDirectory& directory, const std::optional<Acknowledged>& mark,
                     uint64_t sequence);

/// The number in a name as "MANIFEST-000005"; 0 if it is none.
uint64_t ManifestNumber(std::string_view name);

}  // namespace cairn
