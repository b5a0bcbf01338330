// RocksReader: reads batches of block records out of a RocksDatabase. Part of RocksColdStore.
//
// Records are read at once from the places in table files that RocksBlockFiles knows. What does not
// verify there, or is not known, is asked of RocksDB, one record a thread: what that says counts.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "storage/batch_reader.h"
#include "storage/rocks_block_files.h"
#include "storage/rocks_cold_store.h"
#include "storage/rocks_database.h"
#include "storage/worker_pool.h"

namespace cairn {

/// Thread-safe.
class RocksReader {
 public:
  /// `threads` wait for the disk where no io_uring does.
  RocksReader(const StoreDirectory& directory, BlockReads reads, bool direct_io, int threads);

  /// See ColdStore::ReadBlocks. Each record is verified.
  Status Read(const RocksDatabase::Access& access, std::span<const BlockId> ids,
              size_t record_bytes, std::span<std::byte* const> targets);

  /// After each change of what records there are.
  void NoteAdded();
  void NoteDropped(uint64_t extent);
  /// After a compaction; and after a write that failed, since the database will be opened again.
  void NoteReplaced();
  /// Records that were asked of RocksDB so far.
  uint64_t asked_records() const { return asked_records_; }

 private:
  /// Fills what can be read past RocksDB; the places in `ids` of the others.
  std::vector<size_t> ReadPast(const RocksDatabase::Access& access, std::span<const BlockId> ids,
                               size_t record_bytes, std::span<std::byte* const> targets);

  WorkerPool workers_;
  std::optional<BatchReader> batches_;
  std::optional<RocksBlockFiles> files_;
  std::atomic<uint64_t> asked_records_ = 0;
};

}  // namespace cairn
