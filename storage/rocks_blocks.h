// RocksBlocks: the payloads of a store: runs in segment files, and the catalog's entries for them.
// Part of RocksColdStore.
//
// A run that was appended is readable at once and pending: the next change of the catalog takes its
// entries along. Bytes that no entry names are nobody's. Reads may run beside each other and beside
// everything else; what changes runs is done by one thread at a time.
#pragma once

#include <rocksdb/write_batch.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "storage/batch_reader.h"
#include "storage/rocks_cold_store.h"
#include "storage/rocks_database.h"
#include "storage/rocks_segment_writer.h"
#include "storage/rocks_segments.h"
#include "storage/run_map.h"
#include "storage/worker_pool.h"

namespace cairn {

class RocksBlocks {
 public:
  RocksBlocks(const std::string& directory, const RocksColdStoreOptions& options, bool direct_io);

  /// Learns which runs the catalog names. Unless this is `sound` (of a writer that knows the format
  /// of all there is) nothing is ever freed.
  Status Load(const RocksDatabase::Access& access, bool sound);
  /// Opens all files, if there are not too many: beside a reader a writer may take them away.
  /// kCorruption if one is lost.
  Status OpenAll();

  /// Appends records and makes their bytes durable; their runs are pending then.
  Status Append(std::span<const BlockRecord> records);
  /// Adds the entries of pending runs; `NotePut` when the batch is durable.
  Status AddPending(const RocksDatabase::Access& access, rocksdb::WriteBatch& batch);
  void NotePut() { pending_.clear(); }
  bool pending() const { return !pending_.empty(); }

  /// See ColdStore::ReadBlocks.
  Status Read(const RocksDatabase::Access& access, std::span<const BlockId> ids,
              size_t payload_bytes, std::span<std::byte* const> targets);

  /// What a drop takes away; what it does to the catalog; and the rest, when that is durable.
  RunMap::Cut PlanDrop(uint64_t extent, uint32_t from);
  Status AddDrop(const RocksDatabase::Access& access, const RunMap::Cut& cut,
                 rocksdb::WriteBatch& batch);
  Status FinishDrop(const RunMap::Cut& cut);

  /// For compaction: runs as they are, copied to the end of the last file or a new one.
  std::vector<RunMap::Entry> Runs();
  /// False, and told in the report, if the run cannot be read.
  Result<bool> CopyRun(const RunMap::Entry& entry, BlockRun& copy, CompactionReport& report);
  /// Checksums of a run, if they can be read.
  std::vector<uint64_t> ChecksumsOf(const RocksDatabase::Access& access, const BlockId& first);
  /// After the entries of `moved` are durable.
  Status FinishMove(std::span<const BlockRun> moved);
  /// After a change that may or may not be in the catalog: nothing is freed until the store is
  /// opened again.
  void KeepAll() { sound_ = false; }
  bool sound() const { return sound_; }
  /// Forgets all runs.
  void Clear();
  /// Frees all that no run needs.
  Status FreeAll() { return Free(0, true); }
  RocksSegmentWriter& writer() { return writer_; }
  RocksSegments& segments() { return segments_; }

  std::vector<uint64_t> Extents();
  uint64_t payload_bytes();
  uint64_t AllocatedBytes() const;
  Result<std::vector<StoreFile>> Files();

 private:
  struct Place {
    FilePlace at;
    RocksSegments::File* file = nullptr;
    uint64_t checksum = 0;
  };
  struct Opened;

  Status Locate(const RocksDatabase::Access& access, std::span<const BlockId> ids,
                size_t payload_bytes, std::span<Place> places);
  /// The places of those whose checksums are known; the runs of the others.
  Status LookUp(std::span<const BlockId> ids, size_t payload_bytes, std::span<Place> places,
                std::vector<BlockId>& unloaded, std::vector<uint64_t>& segments);
  Status LoadChecksums(const RocksDatabase::Access& access, std::vector<BlockId> firsts);
  Status ReadAlone(const BlockId& id, const Place& place, std::span<std::byte> target) const;
  RocksSegmentWriter::InUse InUse();
  /// Frees what no run needs in segments from `number` on, or in that one.
  Status Free(uint64_t number, bool and_later);

  rocksdb::Env* const env_;
  WorkerPool readers_;
  WorkerPool writers_;
  RocksSegments segments_;
  RocksSegmentWriter writer_;
  std::optional<BatchReader> batches_;  // none where a test's file system is read through
  std::mutex mutex_;
  RunMap runs_;
  std::vector<BlockId> pending_;  // first blocks
  bool sound_ = true;
};

}  // namespace cairn
