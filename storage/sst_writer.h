// SstWriter: turns sorted block records into finished RocksDB table files, ready to be ingested.
// Part of RocksColdStore.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/options.h>

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/cold_store.h"
#include "storage/worker_pool.h"

namespace cairn {

/// Paths of finished files that are removed with this object, those already moved aside.
class IncomingFiles {
 public:
  explicit IncomingFiles(rocksdb::Env* env) : env_(env) {}
  ~IncomingFiles();
  IncomingFiles(IncomingFiles&&) noexcept = default;
  IncomingFiles& operator=(IncomingFiles&&) = delete;

  void Add(std::string path, const BlockId& first) {
    paths_.push_back(std::move(path));
    firsts_.push_back(first);
  }
  const std::vector<std::string>& paths() const { return paths_; }
  /// The first block of each file.
  const std::vector<BlockId>& firsts() const { return firsts_; }

 private:
  rocksdb::Env* env_;
  std::vector<std::string> paths_;
  std::vector<BlockId> firsts_;
};

/// Thread-safe.
class SstWriter {
 public:
  /// Files go to `directory`. `workers` write beside the caller and must outlive this.
  SstWriter(std::string directory, const rocksdb::Options& options, WorkerPool& workers,
            int threads);

  /// Writes `records` (sorted by id) to files of at most 64 MiB, none holding two extents, and
  /// syncs them. On an error no file is left.
  Result<IncomingFiles> Write(std::span<const BlockRecord> records);

 private:
  using Records = std::span<const BlockRecord>;

  std::vector<Records> Split(Records records) const;
  Status WriteFile(Records records, const std::string& path) const;

  std::string directory_;
  rocksdb::Options options_;
  WorkerPool& workers_;
  int threads_;
  std::atomic<uint64_t> next_file_ = 1;
};

}  // namespace cairn
