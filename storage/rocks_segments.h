// RocksSegments: the segment files of a store, `DIR/blocks/NNNNNNNN.seg`: opened for reading, and
// freed where no run lies in them any more. Part of RocksColdStore.
//
// A file holds payloads and nothing else. It only grows, but for what nobody needs: holes are
// punched where the file system can, an end is cut off, and a file that is of no use goes. What is
// read stays open while it is read, also if it goes meanwhile. Thread-safe.
#pragma once

#include <rocksdb/env.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/run_map.h"

namespace cairn {

struct SegmentInfo {
  uint64_t number = 0;
  uint64_t bytes = 0;            ///< its size
  uint64_t allocated_bytes = 0;  ///< without its holes
};

class RocksSegments {
 public:
  /// One that is open. Either a descriptor, or a file of a test's file system.
  struct File {
    ~File();
    int fd = -1;
    std::unique_ptr<rocksdb::RandomAccessFile> through;

   private:
    friend class RocksSegments;
    uint64_t number = 0;
    int users = 0;
    bool gone = false;
  };

  /// `env` is asked for all changes; with `read_through` for what is read too. Must outlive this.
  RocksSegments(std::string directory, rocksdb::Env* env, bool read_through, bool direct_io);
  ~RocksSegments();

  const std::string& directory() const { return directory_; }
  std::string PathOf(uint64_t number) const;
  /// Makes the directory, if there is none.
  Status Make() const;
  /// By number; none if there is no directory.
  Result<std::vector<SegmentInfo>> List() const;
  Result<SegmentInfo> Look(uint64_t number) const;

  /// Open until it is released as often. kCorruption if it is lost.
  Result<File*> Open(uint64_t number);
  void Release(File* file);

  /// Reads the places of one file, whole pages into aligned memory; the error names the file.
  /// kCorruption if it ends before that.
  Status Read(File& file, uint64_t offset, std::span<std::byte> pages) const;

  /// Gives back to the file system what lies outside `in_use`, sorted. What cannot be punched stays
  /// until the store is compacted.
  Status Free(uint64_t number, std::span<const ByteRange> in_use);

 private:
  Result<std::unique_ptr<File>> OpenFile(uint64_t number) const;
  void CloseIdle();
  rocksdb::Status CutFile(const std::string& path, uint64_t bytes) const;

  const std::string directory_;
  rocksdb::Env* const env_;
  const bool read_through_;
  const bool direct_io_;
  const size_t max_open_;
  std::mutex mutex_;
  std::map<uint64_t, std::unique_ptr<File>> open_;
  std::vector<std::unique_ptr<File>> gone_;  // and read still
};

}  // namespace cairn
