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

#include "base/parallel.h"
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

class LiveBlocks;

/// How large table files of block records become, and so how much free space is needed at once.
struct CompactionLimits {
  uint64_t file_bytes = 1 << 30;
  uint64_t mixed_file_bytes = 64 << 20;  ///< of a file with blocks of several extents
};

struct CompactionReport {
  uint64_t rewritten_bytes = 0;  ///< of files that were merged or had something to leave out
  uint64_t kept_records = 0;
  uint64_t dropped_records = 0;  ///< that no session covers
  uint64_t damaged_records = 0;  ///< kept as they are; at least so many if a file is unreadable
  std::vector<std::string> damages{};  ///< the first of them, in words

  void AddDamage(const std::string& what) {
    constexpr size_t kMostNamed = 10;
    ++damaged_records;
    if (damages.size() < kMostNamed) damages.push_back(what);
  }
};

/// Sees how many bytes were rewritten and how many will be; its error ends the compaction.
using CompactionWatch = FunctionRef<Status(uint64_t done, uint64_t total)>;

struct RocksColdStoreOptions {
  bool create = false;            ///< make a store if there is none
  bool read_only = false;         ///< every write fails with kInvalidArgument
  uint64_t disk_limit_bytes = 0;  ///< the directory's size that WriteBlocks respects; 0: no limit
  BlockReads block_reads = BlockReads::kAuto;  ///< kRocks with an `env`
  int read_threads = 16;  ///< waiting for the disk in one batch, or to open files; 1 or more
  int write_threads = 2;  ///< block files written at once; 1 or more
  /// Metadata kept in memory and in the log before it becomes a table file; 64 KiB or more.
  uint64_t meta_buffer_bytes = 16 << 20;
  /// Where files are, all but the few that StoreDirectory makes itself; null: the system's. Tests
  /// put one that fails between. Must outlive the store.
  rocksdb::Env* env = nullptr;
};

/// One file that records or metadata are kept in.
struct StoreFile {
  std::string name{};    ///< in the store's directory
  bool payload = false;  ///< of block records, or else of metadata
  int level = 0;         ///< 0: as it was written; higher: merged, or put at the bottom at once
  uint64_t bytes = 0;
  uint64_t entries = 0;
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
  /// Its table files, by name.
  Result<std::vector<StoreFile>> Files();

  /// Gives the store up that Open has made, and in which nothing is: it goes when this is
  /// destroyed. Nothing happens to one that was there.
  void RemoveIfNew();

  /// Merges neighbouring table files into large ones, and leaves records out that `live` does not
  /// cover (null: none); checks all records on the way. Blocks that are written and not committed
  /// are covered by no session: nothing may be in the middle of writing. Each file is replaced in
  /// one atomic step, and what was done before an error or a kill stays done. kOutOfSpace if the
  /// disk or the limit has no room for the next file. What was done is in `report` in any case.
  Status Compact(const LiveBlocks* live, const CompactionLimits& limits, CompactionWatch watch,
                 CompactionReport& report);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn
