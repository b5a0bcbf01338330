// RocksColdStore: the ColdStore on disk, over RocksDB.
//
// Block records go past the write-ahead log: each WriteBlocks makes finished, synced table files
// and ingests them, so a byte is written once. Metadata goes through the log, synced. One process
// writes at a time; read-only stores may be opened beside it and see the moment of their opening.
// docs/format.md describes the directory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "storage/cold_store.h"

namespace rocksdb {
class Env;
}

namespace cairn {

/// How block records are read. Results are the same.
enum class BlockReads : uint8_t {
  kAuto,     ///< a batch through one io_uring; kThreads where the system has none
  kThreads,  ///< a batch by threads, each reading one record at a time
  kRocks,    ///< by threads that ask RocksDB for each record
};

struct RocksColdStoreOptions {
  bool create = false;            ///< make a store if there is none
  bool read_only = false;         ///< every write fails with kInvalidArgument
  uint64_t disk_limit_bytes = 0;  ///< the directory's size that WriteBlocks respects; 0: no limit
  BlockReads block_reads = BlockReads::kAuto;  ///< kRocks with an `env`
  int read_threads = 16;  ///< threads waiting for the disk in one batch; 1 or more
  int write_threads = 2;  ///< block files written at once; 1 or more
  /// Metadata kept in memory and in the log before it becomes a table file; 64 KiB or more.
  uint64_t meta_buffer_bytes = 16 << 20;
  /// Where files are, all but the few that StoreDirectory makes itself; null: the system's. Tests
  /// put one that fails between. Must outlive the store.
  rocksdb::Env* env = nullptr;
};

class RocksColdStore final : public ColdStore {
 private:
  struct Impl;

 public:
  /// kNotFound (no store), kInvalidArgument (a directory of other things, bad options), kBusy
  /// (another writer), kCorruption (damaged); every message names `directory`.
  static Result<std::unique_ptr<RocksColdStore>> Open(const std::string& directory,
                                                      const RocksColdStoreOptions& options);
  explicit RocksColdStore(std::unique_ptr<Impl> impl);
  ~RocksColdStore() override;

  Status WriteBlocks(std::span<const BlockRecord> records) override;
  Status ReadBlocks(std::span<const BlockId> ids, size_t record_bytes,
                    std::span<std::byte* const> targets) override;
  bool VerifiesReads() const override { return true; }
  Status DropExtent(uint64_t extent, uint32_t from) override;
  Result<std::vector<uint64_t>> Extents() override;
  Status WriteMeta(const MetaBatch& batch) override;
  Result<std::optional<std::string>> ReadMeta(std::string_view key) override;
  Result<MetaEntries> ScanMeta(std::string_view prefix) override;
  ColdStoreStats Stats() override;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn
