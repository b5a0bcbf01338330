// PowerCutFileSystem: RocksDB's file system over real files, whose power can be cut and whose
// operations can be made to fail.
//
// Syncs cost nothing here: UnsyncedFiles remembers what they promise. At a cut every further change
// fails; the store is then closed, and Restore leaves in its directory what a disk would have.
// Faults are those of a disk that refuses: a failed write may have written a part, a failed sync
// nothing that can be relied on. Thread-safe.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>

#include "tests/support/file_operation.h"
#include "tests/support/unsynced_files.h"

namespace cairn::test {

class PowerCutFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  struct Fault {
    FileOperation operation = FileOperation::kWrite;
    uint64_t nth = 1;         ///< from now on
    bool no_space = false;    ///< ENOSPC; otherwise EIO
    bool stays = false;       ///< all later ones fail too
    bool over_quota = false;  ///< EDQUOT instead
  };

  /// Over the store at `store`, there or not yet.
  explicit PowerCutFileSystem(const std::string& store);
  const char* Name() const override { return "PowerCut"; }

  /// The `nth` change from now on (1: the next) and all that follow do not happen.
  void CutAt(uint64_t nth);
  bool off() const;
  /// Changes since the construction or the last Restore.
  uint64_t changes() const;
  /// Syncs since the construction.
  uint64_t syncs() const;
  /// The power is back: the directory holds what the cut left. The store must be closed.
  void Restore(std::mt19937_64& random);
  /// The process was killed and the machine stays up: nothing is lost, nothing was synced.
  void Revive();

  void Fail(const Fault& fault);
  /// True if a fault was ordered and no operation has met it.
  bool armed() const;
  void Heal();

  /// Syncs of files whose name begins or ends so ("db/": of that directory) are promised and not
  /// kept, as by a defect. For tests of the tests.
  void Betray(std::string part);

  // Of the files it opens.
  rocksdb::IOStatus Enter(FileOperation operation);
  bool Betrayed(const std::string& path) const;
  UnsyncedFiles& files() { return files_; }

  using IOStatus = rocksdb::IOStatus;
  using FileOptions = rocksdb::FileOptions;
  using IOOptions = rocksdb::IOOptions;
  using IODebugContext = rocksdb::IODebugContext;

  IOStatus NewSequentialFile(const std::string& path, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* file,
                             IODebugContext* context) override;
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions& options,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                               IODebugContext* context) override;
  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file,
                           IODebugContext* context) override;
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* file,
                              IODebugContext* context) override;
  IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                             const FileOptions& options,
                             std::unique_ptr<rocksdb::FSWritableFile>* file,
                             IODebugContext* context) override;
  IOStatus NewRandomRWFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSRandomRWFile>* file,
                           IODebugContext* context) override;
  IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* directory,
                        IODebugContext* context) override;
  IOStatus DeleteFile(const std::string& path, const IOOptions& options,
                      IODebugContext* context) override;
  IOStatus Truncate(const std::string& path, size_t bytes, const IOOptions& options,
                    IODebugContext* context) override;
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* context) override;
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions& options,
                    IODebugContext* context) override;

 private:
  struct Order {
    Fault fault;
    bool met = false;
  };

  mutable std::mutex mutex_;
  bool off_ = false;
  uint64_t changes_ = 0;
  uint64_t syncs_ = 0;
  uint64_t cut_at_ = 0;  // counted as changes_; 0: no cut
  std::optional<Order> order_;
  std::string betrayed_;
  UnsyncedFiles files_;
};

/// It, and RocksDB's view of it.
class PowerCutDisk {
 public:
  explicit PowerCutDisk(const std::string& store)
      : files_(std::make_shared<PowerCutFileSystem>(store)),
        env_(rocksdb::NewCompositeEnv(files_)) {}
  PowerCutFileSystem& files() { return *files_; }
  rocksdb::Env* env() { return env_.get(); }

 private:
  std::shared_ptr<PowerCutFileSystem> files_;
  std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace cairn::test
