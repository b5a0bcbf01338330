// RocksBlockFiles: where block records lie in RocksDB's table files, so that a batch of them can be
// read at once. Part of RocksColdStore.
//
// RocksDB owns what exists; this only knows places. In a table file that holds one run of a grid of
// layers and heads, in records of one size, the place of each record follows from its id. All that
// is used for that RocksDB keeps anyway: a file's first and last key, the number and the sizes of
// its entries. A file in which anything differs is left to RocksDB, and so is one whose last record
// was deleted. What is read from a place must be checked to be the record that was looked for.
//
// While nothing in the store is deleted, ends and size of a file already tell where its records
// should lie, and RocksDB need not open it; a file in which one does not lie there is looked into.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "storage/batch_reader.h"
#include "storage/block_id.h"
#include "storage/rocks_database.h"
#include "storage/worker_pool.h"

namespace cairn {

/// Thread-safe.
class RocksBlockFiles {
 private:
  struct File;

 public:
  /// `workers` look into files that are used for the first time, and must outlive this.
  RocksBlockFiles(std::string db_path, bool direct_io, WorkerPool& workers);
  ~RocksBlockFiles();

  /// Of each id asked for, the place of its record with the user key before it, in a file that
  /// stays open while this lives; fd -1 where RocksDB must be asked. Move-only.
  class Places {
   public:
    explicit Places(RocksBlockFiles& owner) : owner_(&owner) {}
    ~Places();
    Places(Places&& other) noexcept;
    Places& operator=(Places&&) = delete;
    std::span<const FilePlace> all() const { return places_; }

   private:
    friend class RocksBlockFiles;
    RocksBlockFiles* owner_;
    std::vector<FilePlace> places_;
    std::vector<File*> files_;  // in use
  };
  Places Find(const RocksDatabase::Access& access, std::span<const BlockId> ids,
              size_t record_bytes);

  /// Bytes between the user key, with which a place begins, and the record.
  static constexpr size_t kKeyGapBytes = 8;

  /// What was read from the place of a block was not its record.
  void Doubt(const BlockId& id);

  /// The files have changed: what is not known will be looked for.
  void NoteChange();
  /// Records of the extent were deleted, or its files: nothing that is known of it holds any more.
  void Forget(uint64_t extent);
  void ForgetAll();

 private:
  struct Grid {
    uint32_t layers = 1;
    uint32_t heads = 1;
    bool operator==(const Grid&) const = default;
  };
  using Files = std::map<BlockId, std::unique_ptr<File>>;  // by the first block

  void Refresh(const RocksDatabase::Access& access);
  File* FileOf(const BlockId& id) const;
  /// Looks into those of `fresh`, without the lock.
  void Examine(const RocksDatabase::Access& access, size_t record_bytes,
               std::vector<std::unique_ptr<File>>& fresh);
  Status ExamineOne(const RocksDatabase::Access& access, size_t record_bytes, File& file) const;
  Status LookInto(const RocksDatabase::Access& access, File& file) const;
  void Retire(Files::iterator at);
  void Release(std::span<File* const> files);

  const std::string db_path_;
  const bool direct_io_;
  const size_t max_open_;
  WorkerPool& workers_;
  std::mutex mutex_;
  bool changed_ = true;
  uint64_t next_serial_ = 1;
  Files files_;
  std::vector<std::unique_ptr<File>> retired_;  // in use still
};

}  // namespace cairn
