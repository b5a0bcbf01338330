// StoreDirectory: the directory a RocksColdStore lives in, and the lock on it.
//
//   DIR/lock       locked by the process that writes
//   DIR/db/        RocksDB
//   DIR/blocks/    segment files of payloads (rocks_segments.h)
//   DIR/reserve    1 MiB of nothing, given up when a full disk leaves no room to delete
//   DIR/acknowledged   how far the writer was told that its changes are durable (acknowledged.h)
//
// Of what it makes itself only the directories and the name of the mark must survive power loss,
// and are synced: lock and reserve are made anew, an old mark will do.
//
// Private to the owner (mode 0700). Holds the lock until destroyed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/absolute_path.h"
#include "base/error.h"

namespace cairn {

class StoreDirectory {
 public:
  enum class Use { kRead, kWrite, kWriteOrCreate };

  /// kNotFound if there is no store (and none is to be created), kInvalidArgument if the directory
  /// holds other things, kBusy if another process writes to it (readers need no lock).
  static Result<StoreDirectory> Open(const std::string& name, Use use);
  ~StoreDirectory();
  StoreDirectory(StoreDirectory&& other) noexcept;
  StoreDirectory& operator=(StoreDirectory&&) = delete;

  /// As it was given, for messages.
  const std::string& name() const { return name_; }
  /// From the root on: the process may change its directory while the store is open.
  const std::string& path() const { return path_; }
  std::string db_path() const { return path_ + "/db"; }
  std::string acknowledged_path() const { return path_ + "/acknowledged"; }
  std::string blocks_path() const { return path_ + "/blocks"; }

  /// False until RocksDB has made its database.
  bool HoldsStore() const;
  /// True if files here can be opened past the page cache.
  bool SupportsDirectIo() const;
  /// Makes the reserve file; kOutOfSpace if there is no room for it.
  Status MakeReserve() const;
  void RemoveReserve() const;
  bool HasReserve() const;

  /// What stores of format 1 had block files in on their way.
  void RemoveIncoming() const;

  /// True if Open has made it.
  bool is_new() const { return is_new_; }
  /// Removes it, if Open has made it and nobody needs it: the database must be closed. What cannot
  /// be removed stays.
  void RemoveNew() const;

  /// What all files in it occupy, together; holes do not count.
  uint64_t Bytes() const;

 private:
  explicit StoreDirectory(const std::string& name) : name_(name), path_(AbsolutePath(name)) {}

  Status Create();
  Status Lock();

  std::string name_;
  std::string path_;
  bool is_new_ = false;
  bool had_directory_ = false;  // before Open
  int lock_fd_ = -1;
};

/// Of the system call that has just failed on `path`: kOutOfSpace or kIo.
Error SystemError(std::string_view action, const std::string& path);

/// Makes file contents, or the entries of a directory, survive power loss.
Status SyncPath(const std::string& path);

}  // namespace cairn
