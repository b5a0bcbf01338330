// RocksSegmentWriter: appends runs of payloads to segment files. Part of RocksColdStore.
//
// One file at a time, the last one, until it is full. While a piece is on its way to the disk the
// next one is put together. One thread at a time.
#pragma once

#include <rocksdb/env.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "storage/rocks_segments.h"
#include "storage/run_map.h"
#include "storage/worker_pool.h"

namespace cairn {

/// Memory that direct I/O takes.
struct PageMemory {
  struct Freed {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  /// Whole pages; null if there is no memory.
  static std::unique_ptr<std::byte[], Freed> Allocate(size_t bytes);
};
using PageBytes = std::unique_ptr<std::byte[], PageMemory::Freed>;

class RocksSegmentWriter {
 public:
  static constexpr size_t kPieceBytes = 4 << 20;

  /// All must outlive it. `workers` help.
  RocksSegmentWriter(RocksSegments& segments, rocksdb::Env* env, bool direct_io,
                     uint64_t segment_bytes, WorkerPool& workers);
  ~RocksSegmentWriter();

  /// What was written lies in which runs; `in_use` as RunMap says it, of all runs there are.
  using InUse = std::map<uint64_t, std::vector<ByteRange>>;
  /// Appends the records and syncs them. After an error the file at hand is not used again.
  Result<std::vector<RunMap::Entry>> Append(std::span<const BlockRecord> records,
                                            const InUse& in_use);

  /// Fills the next bytes of a run.
  using Fill = FunctionRef<Status(uint64_t offset, std::span<std::byte> bytes)>;
  /// Appends one run, whose place it sets; Sync makes it durable.
  Status AppendRun(BlockRun& run, Fill fill, const InUse& in_use);
  Status Sync();
  /// The next run begins a new file.
  void StartNewFile();
  /// The file may be changed by others; it is looked at anew before it is written to again.
  void Close();

 private:
  Status Prepare(uint64_t bytes, const InUse& in_use);
  Status OpenLast(const InUse& in_use);
  Status Write(std::span<const std::byte> piece);

  RocksSegments& segments_;
  rocksdb::Env* const env_;
  const bool direct_io_;
  const uint64_t segment_bytes_;
  WorkerPool& workers_;
  std::unique_ptr<rocksdb::WritableFile> file_;
  uint64_t number_ = 0;       // of the file
  uint64_t end_ = 0;          // its size
  uint64_t last_number_ = 0;  // that was given to a file; no number comes twice
  bool start_new_ = false;
  bool is_new_ = false;  // its name is not synced
  PageBytes pieces_[2];
};

}  // namespace cairn
