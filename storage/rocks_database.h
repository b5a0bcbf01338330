// RocksDatabase: RocksDB opened in a store's directory, and opened again after a failed write.
// Part of RocksColdStore.
//
// RocksDB refuses every write after some errors, a full disk among them, until it is opened anew;
// this does so before the next write, so that a store outlives its errors. It also sees to it that
// a full disk leaves room to delete: what adds to the store needs the reserve file in place, what
// frees space may use it up. Thread-safe.
#pragma once

#include <rocksdb/db.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string_view>

#include "base/error.h"
#include "base/parallel.h"
#include "storage/acknowledged.h"
#include "storage/rocks_options.h"
#include "storage/store_directory.h"

namespace cairn {

class RocksDatabase {
 public:
  /// The open database. While an Access lives the database is not closed.
  struct Access {
    std::shared_lock<std::shared_mutex> lock;
    rocksdb::DB* db;
    rocksdb::ColumnFamilyHandle* meta;
    rocksdb::ColumnFamilyHandle* old_payload;  ///< of a store of format 1; else null
  };

  static Result<std::unique_ptr<RocksDatabase>> Open(StoreDirectory directory,
                                                     const RocksSetup& setup);
  RocksDatabase(StoreDirectory directory, const RocksSetup& setup)
      : directory_(std::move(directory)), setup_(setup) {}
  ~RocksDatabase();
  RocksDatabase(const RocksDatabase&) = delete;
  RocksDatabase& operator=(const RocksDatabase&) = delete;

  Result<Access> Read();
  enum class Purpose { kAdd, kFree };
  /// Runs `write` (with an Access, giving a Status); for kFree once more with the reserve if the
  /// disk is full. Opens the database again if an earlier write has failed. kInvalidArgument if
  /// the store is open for reading only.
  Status Write(Purpose purpose, FunctionRef<Status(const Access&)> write);
  /// To be told of every write's outcome.
  Status AfterWrite(const rocksdb::Status& status, std::string_view action);

  const StoreDirectory& directory() const { return directory_; }
  /// If Open has made the store: it goes when this is closed.
  void RemoveIfNew(bool remove) { remove_if_new_ = remove; }
  /// Removes the block records of format 1, if there are some: they are in segments by now.
  Status DropOldPayload();

 private:
  Status OpenDb(bool read_only);
  Status OpenToRead(const RocksSetup& setup);
  Status OpenToWrite(const RocksSetup& setup);
  Status WhileLocked(const RocksSetup& setup, FunctionRef<Status()> change) const;
  rocksdb::Status OpenFiles(RocksSetup setup);
  Status BoundLogs(const RocksSetup& setup);
  Status OpenDbOnAnyDisk();
  Status WriteOnce(Purpose purpose, FunctionRef<Status(const Access&)> write);
  Status KeepReserve();
  void GiveUpReserve();
  Status OpenAgain();
  void Acknowledge();
  uint64_t Versions() const;
  void Close();

  StoreDirectory directory_;  // holds the lock on the store: goes last
  const RocksSetup setup_;
  std::shared_mutex mutex_;  // held alone only to open again
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::ColumnFamilyHandle* meta_ = nullptr;         // owned by db_
  rocksdb::ColumnFamilyHandle* old_payload_ = nullptr;  // owned by db_
  std::atomic<bool> broken_ = false;
  // Since a write failed: what is in memory may be older than what the log has. Until the database
  // is opened again nothing is read from it, lest a change be made to a state that is none.
  std::atomic<bool> stale_ = false;
  bool remove_if_new_ = false;
  std::mutex mark_mutex_;
  Acknowledged mark_;           // the last one
  uint64_t mark_versions_ = 0;  // of the database when its files were looked at for it
  std::mutex reserve_mutex_;
  bool has_reserve_ = false;
};

}  // namespace cairn
