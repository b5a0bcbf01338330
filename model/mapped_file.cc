#include "model/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace cairn {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

Result<MappedFile> MappedFile::Open(const std::string& path) {
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return Fail(Errc::kNotFound, "there is no file '{}'; check the path", path);
    }
    return Fail(Errc::kIo, "cannot open '{}': {}", path, std::strerror(errno));
  }
  struct stat status = {};
  if (fstat(file.fd, &status) != 0) {
    return Fail(Errc::kIo, "cannot read the size of '{}': {}", path, std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    return Fail(Errc::kInvalidArgument, "'{}' is not a regular file; name a file", path);
  }
  const auto bytes = static_cast<size_t>(status.st_size);
  if (bytes == 0) return MappedFile({});
  void* data = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (data == MAP_FAILED) {
    return Fail(Errc::kIo, "cannot map '{}' ({} bytes): {}", path, bytes, std::strerror(errno));
  }
  return MappedFile({static_cast<const std::byte*>(data), bytes});
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace cairn
