// How RocksDB is set up, and how its statuses become errors. Private to RocksColdStore and its
// parts: it includes RocksDB headers.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/status.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace cairn {

/// Name of the column family in which stores of format 1 have block records.
inline constexpr const char* kPayloadFamily = "payload";

struct RocksSetup {
  bool create = false;
  bool read_only = false;
  bool direct_io = true;
  uint64_t meta_buffer_bytes = 16 << 20;
  int read_threads = 16;  ///< that open table files when the database is opened
  bool old = false;       ///< it has the column family of format 1
  rocksdb::Env* env = rocksdb::Env::Default();
};

rocksdb::DBOptions MakeDbOptions(const RocksSetup& setup);
rocksdb::ColumnFamilyOptions MakeMetaOptions(const RocksSetup& setup);
/// Metadata first; second the payloads, in a store of format 1.
std::vector<rocksdb::ColumnFamilyDescriptor> MakeFamilies(const RocksSetup& setup);

/// What helps if the disk is full.
inline constexpr std::string_view kFreeOrDelete = "free some space or delete sessions";
/// The same while a store is opened to be written to, without which no session can be deleted.
/// `bytes`: how many are needed; 0 if nobody knows.
std::string FreeToOpen(uint64_t bytes = 0);

/// kCorruption, kOutOfSpace, kNotFound or kIo: "`action`: what RocksDB says". `when_full`: what
/// helps if the disk is.
Error RocksError(const rocksdb::Status& status, std::string_view action,
                 std::string_view when_full = kFreeOrDelete);
inline Status FromRocks(const rocksdb::Status& status, std::string_view action,
                        std::string_view when_full = kFreeOrDelete) {
  if (status.ok()) return Ok();
  return RocksError(status, action, when_full);
}

/// Makes the contents of a file survive power loss, while a store is opened.
Status SyncFile(rocksdb::Env* env, const std::string& path, std::string_view action);

}  // namespace cairn
