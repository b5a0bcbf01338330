// RawFile: what a device does for plain files, as the measure for a store: sequential writes made
// durable, and batches of scattered reads. Past the page cache; removed with the object.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/error.h"
#include "storage/batch_reader.h"

namespace cairn {

class RawFile {
 public:
  /// Makes `path`. kUnsupported if files there cannot be opened past the page cache.
  static Result<RawFile> Create(const std::string& path);
  ~RawFile();
  RawFile(RawFile&& other) noexcept;
  RawFile& operator=(RawFile&&) = delete;

  int fd() const { return fd_; }
  uint64_t bytes() const { return bytes_; }
  /// Appends `bytes` of `data` (page-aligned, a multiple of 1 MiB), several writes under way at
  /// once, and makes them survive power loss.
  Status Append(std::span<const std::byte> data);

 private:
  RawFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_;
  uint64_t bytes_ = 0;
};

/// Bytes a second of reading all of `paths` from start to end, past the page cache.
Result<double> ReadRate(std::span<const std::string> paths, BatchReader& reader);

}  // namespace cairn
