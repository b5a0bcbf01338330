// RocksColdStore: the ColdStore on disk. Payloads lie in segment files, each byte written once;
// RocksDB has the catalog: the metadata, and which payloads there are and where. One process writes
// at a time; read-only stores may be opened beside it and see the moment of their opening.
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

/// How payloads are read. Results are the same.
enum class BlockReads : uint8_t {
  kAuto,     ///< a batch through one io_uring; kThreads where the system has none
  kThreads,  ///< a batch by threads, each reading one block at a time
};

struct CompactionReport {
  uint64_t rewritten_bytes = 0;  ///< payloads that were copied
  uint64_t copied_blocks = 0;
  uint64_t damaged_blocks = 0;  ///< copied as they are; at least so many if a file is unreadable
  std::vector<std::string> damages{};  ///< the first of them, in words

  void AddDamage(const std::string& what) {
    constexpr size_t kMostNamed = 10;
    ++damaged_blocks;
    if (damages.size() < kMostNamed) damages.push_back(what);
  }
};

/// Sees how many bytes were copied and how many will be; its error ends the compaction.
using CompactionWatch = FunctionRef<Status(uint64_t done, uint64_t total)>;

struct RocksColdStoreOptions {
  bool create = false;            ///< make a store if there is none
  bool read_only = false;         ///< every write fails with kInvalidArgument
  uint64_t disk_limit_bytes = 0;  ///< the directory's size that WriteBlocks respects; 0: no limit
  BlockReads block_reads = BlockReads::kAuto;  ///< with an `env`: through that
  int read_threads = 16;  ///< waiting for the disk in one batch, or to open files; 1 or more
  int write_threads = 2;  ///< putting together what is written, and writing it; 1 or more
  uint64_t segment_bytes = 1 << 30;  ///< size from which on a segment is full
  /// Metadata kept in memory and in the log before it becomes a table file; 64 KiB or more.
  uint64_t meta_buffer_bytes = 16 << 20;
  /// Where files are, all but the few that StoreDirectory makes itself; null: the system's. Tests
  /// put one that fails between. Must outlive the store.
  rocksdb::Env* env = nullptr;
};

/// One file that payloads or metadata are kept in.
struct StoreFile {
  std::string name{};    ///< in the store's directory
  bool payload = false;  ///< a segment, or else a table file
  int level = 0;         ///< of a table file: 0 as it was written, higher if merged
  uint64_t bytes = 0;    ///< without holes
  uint64_t entries = 0;  ///< or blocks; of a table file also older ones, and marks of deletion
};

class RocksColdStore final : public ColdStore {
 private:
  struct Impl;

 public:
  /// kNotFound (no store), kInvalidArgument (a directory of other things, bad options), kBusy
  /// (another writer), kCorruption (damaged), kUnsupported (of another format; an older one is to
  /// be upgraded); every message names `directory`.
  static Result<std::unique_ptr<RocksColdStore>> Open(const std::string& directory,
                                                      const RocksColdStoreOptions& options);
  explicit RocksColdStore(std::unique_ptr<Impl> impl);
  ~RocksColdStore() override;

  Status WriteBlocks(std::span<const BlockRecord> records) override;
  Status ReadBlocks(std::span<const BlockId> ids, size_t payload_bytes,
                    std::span<std::byte* const> targets) override;
  Status DropExtent(uint64_t extent, uint32_t from) override;
  Result<std::vector<uint64_t>> Extents() override;
  Status WriteMeta(const MetaBatch& batch) override;
  Result<std::optional<std::string>> ReadMeta(std::string_view key) override;
  Result<MetaEntries> ScanMeta(std::string_view prefix) override;
  ColdStoreStats Stats() override;
  /// Its segments and table files, by name.
  Result<std::vector<StoreFile>> Files();

  /// Gives the store up that Open has made, and in which nothing is: it goes when this is
  /// destroyed. Nothing happens to one that was there. False takes that back.
  void RemoveIfNew(bool remove = true);

  /// Copies what is in small segments, and in those that are mostly of no use, together into new
  /// ones; checks all blocks on the way, and copies damaged ones as they are. kOutOfSpace if the
  /// disk or the limit has no room for the next file. What was done is in `report` in any case, and
  /// stays done after an error or a kill.
  Status Compact(CompactionWatch watch, CompactionReport& report);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn
