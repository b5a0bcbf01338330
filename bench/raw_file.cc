#include "bench/raw_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/byte_size.h"
#include "bench/process_usage.h"
#include "storage/io_ring.h"

namespace cairn {
namespace {

constexpr uint32_t kWriteBytes = kMiB;
constexpr uint32_t kWritesAtOnce = 4;

Error FileError(const char* action, const std::string& path, int code) {
  return Fail(code == ENOSPC ? Errc::kOutOfSpace : Errc::kIo, "cannot {} {}: {}", action, path,
              std::strerror(code));
}

}  // namespace

Result<RawFile> RawFile::Create(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600);
  if (fd >= 0) return RawFile(path, fd);
  if (errno != EINVAL) return FileError("create", path, errno);
  unlink(path.c_str());
  return Fail(Errc::kUnsupported,
              "files at {} cannot be read past the page cache, so nothing could be compared; name "
              "a --store on a disk",
              path);
}

RawFile::~RawFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(path_.c_str());
}

RawFile::RawFile(RawFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), bytes_(other.bytes_) {}

Status RawFile::Append(std::span<const std::byte> data) {
  auto ring = IoRing::Open(kWritesAtOnce);
  size_t at = 0;
  const auto next = [&] {
    const IoOperation write{.kind = IoOperation::Kind::kWrite,
                            .fd = fd_,
                            .offset = bytes_ + at,
                            .data = const_cast<std::byte*>(data.data()) + at,
                            .bytes = kWriteBytes};
    at += kWriteBytes;
    return write;
  };
  while (ring && (at < data.size() || ring.value()->pending() > 0)) {
    IoRing& writes = *ring.value();
    while (at < data.size() && writes.pending() < kWritesAtOnce) writes.Add(next());
    CAIRN_TRY(writes.Submit(1));
    while (const auto completion = writes.Take()) {
      if (completion->result < 0) return FileError("write", path_, -completion->result);
      if (completion->result != kWriteBytes) return FileError("write", path_, ENOSPC);
    }
  }
  while (at < data.size()) {  // without an io_uring
    const IoOperation write = next();
    const ssize_t count = pwrite(fd_, write.data, write.bytes, static_cast<off_t>(write.offset));
    if (count != kWriteBytes) return FileError("write", path_, count < 0 ? errno : ENOSPC);
  }
  if (fsync(fd_) != 0) return FileError("sync", path_, errno);
  bytes_ += data.size();
  return Ok();
}

Result<double> ReadRate(std::span<const std::string> paths, BatchReader& reader) {
  struct Descriptors {
    ~Descriptors() {
      for (const int fd : fds) close(fd);
    }
    std::vector<int> fds;
  } opened;
  std::vector<FilePlace> places;
  uint64_t bytes = 0;
  for (const std::string& path : paths) {
    const int fd = open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
    struct stat info {};
    if (fd < 0 || fstat(fd, &info) != 0) return FileError("read", path, errno);
    opened.fds.push_back(fd);
    const auto file_bytes = static_cast<uint64_t>(info.st_size);
    for (uint64_t offset = 0; offset < file_bytes; offset += kMiB) {
      places.push_back({fd, offset, static_cast<uint32_t>(std::min(kMiB, file_bytes - offset))});
    }
    bytes += file_bytes;
  }
  std::atomic<bool> failed = false;
  const Stopwatch watch;
  reader.Read(places, [&](size_t, std::span<const std::byte> read) {
    if (read.empty()) failed = true;
  });
  if (failed) return Fail(Errc::kIo, "the files of the store cannot be read; check the disk");
  return static_cast<double>(bytes) / watch.Seconds();
}

}  // namespace cairn
