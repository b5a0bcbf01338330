// BenchDirectory: where a benchmark keeps its files: a directory of its own, which goes with this
// object, whatever happens to the benchmark.
#pragma once

#include <string>

#include "base/error.h"

namespace cairn {

/// Move-only.
class BenchDirectory {
 public:
  /// Makes `path`, or takes it if it is empty. kInvalidArgument if it holds anything, kOutOfSpace
  /// if less than `needed_bytes` are free there.
  static Result<BenchDirectory> Open(const std::string& path, uint64_t needed_bytes);
  ~BenchDirectory();
  BenchDirectory(BenchDirectory&& other) noexcept;
  BenchDirectory& operator=(BenchDirectory&&) = delete;

  const std::string& path() const { return path_; }

 private:
  BenchDirectory(std::string path, bool made) : path_(std::move(path)), made_(made) {}

  std::string path_;  // empty: moved from
  bool made_;
};

}  // namespace cairn
