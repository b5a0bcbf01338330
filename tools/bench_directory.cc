#include "tools/bench_directory.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/byte_size.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

}  // namespace

Result<BenchDirectory> BenchDirectory::Open(const std::string& path, uint64_t needed_bytes) {
  const bool made = mkdir(path.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) {
    return Fail(errno == ENOENT ? Errc::kNotFound : Errc::kIo, "cannot create directory {}: {}",
                path, std::strerror(errno));
  }
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    return Fail(Errc::kInvalidArgument, "{} is a file, not a directory; name another --store",
                path);
  }
  if (!made && (!fs::is_empty(path, error) || error)) {
    return Fail(Errc::kInvalidArgument,
                "{} holds something; a benchmark fills and empties its --store: name a new or an "
                "empty directory",
                path);
  }
  BenchDirectory directory(path, made);
  const fs::space_info space = fs::space(path, error);
  if (!error && space.available < needed_bytes) {
    return Fail(Errc::kOutOfSpace, "the benchmark needs {} at {}, and {} are free",
                FormatByteSize(needed_bytes), path, FormatByteSize(space.available));
  }
  return directory;
}

BenchDirectory::~BenchDirectory() {
  if (path_.empty()) return;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path_, ignored)) {
    fs::remove_all(entry.path(), ignored);
  }
  if (made_) fs::remove(path_, ignored);
}

BenchDirectory::BenchDirectory(BenchDirectory&& other) noexcept
    : path_(std::exchange(other.path_, {})), made_(other.made_) {}

}  // namespace cairn
