#include "tools/scratch_directory.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace cairn {
namespace {

namespace fs = std::filesystem;

}  // namespace

Result<ScratchDirectory> ScratchDirectory::Open(const std::string& path) {
  std::error_code error;
  if (path.empty()) {
    std::string name = (fs::temp_directory_path(error) / "cairn-XXXXXX").string();
    if (error || mkdtemp(name.data()) == nullptr) {
      return Fail(Errc::kIo, "cannot make a temporary directory {}: {}; name one with --scratch",
                  name, error ? error.message() : std::strerror(errno));
    }
    return ScratchDirectory(name, false);
  }
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return Fail(errno == ENOENT ? Errc::kNotFound : Errc::kIo, "cannot create directory {}: {}",
                path, std::strerror(errno));
  }
  if (!fs::is_directory(path, error)) {
    return Fail(Errc::kInvalidArgument, "{} is a file, not a directory; name another --scratch",
                path);
  }
  return ScratchDirectory(path, true);
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  if (!stays_ && !path_.empty()) fs::remove_all(path_, ignored);
}

ScratchDirectory::ScratchDirectory(ScratchDirectory&& other) noexcept
    : path_(std::exchange(other.path_, {})), stays_(other.stays_) {}

Status ScratchDirectory::Remove(const std::string& name) const {
  std::error_code error;
  fs::remove_all(Path(name), error);
  if (!error) return Ok();
  return Fail(Errc::kIo, "cannot remove {}: {}", Path(name), error.message());
}

}  // namespace cairn
