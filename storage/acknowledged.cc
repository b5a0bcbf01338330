#include "storage/acknowledged.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "storage/block_format.h"

namespace cairn {
namespace {

constexpr uint32_t kMarkMagic = 0x314b4341;  // "ACK1"; the digit is the version
constexpr std::string_view kMarkKey = "acknowledged";
constexpr size_t kBodyBytes = sizeof(Acknowledged);
using MarkBytes = std::array<std::byte, kBodyBytes + kTrailerBytes>;
static_assert(std::endian::native == std::endian::little);
static_assert(sizeof(Acknowledged) == 5 * sizeof(uint64_t));

/// Bytes read, or -1.
ssize_t ReadMark(const std::string& path, MarkBytes& bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const ssize_t count = pread(fd, bytes.data(), bytes.size(), 0);
  const int code = errno;
  close(fd);
  errno = code;
  return count;
}

}  // namespace

Result<std::optional<Acknowledged>> ReadAcknowledged(const std::string& path) {
  constexpr int kAttempts = 3;  // a reader may meet the writer in the midst of writing it
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    MarkBytes bytes{};
    const ssize_t count = ReadMark(path, bytes);
    if (count < 0 && errno == ENOENT) return std::optional<Acknowledged>();
    if (count < 0) {
      return Fail(Errc::kIo, "cannot read {}: {}; make sure it may be read", path,
                  std::strerror(errno));
    }
    if (std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; })) {
      return std::optional(Acknowledged());
    }
    if (count != static_cast<ssize_t>(bytes.size()) ||
        CheckTrailer(kMarkKey, kMarkMagic, bytes) != nullptr) {
      continue;
    }
    Acknowledged mark;
    std::memcpy(&mark, bytes.data(), sizeof mark);
    return std::optional(mark);
  }
  return Fail(Errc::kCorruption,
              "{} is damaged; remove it to open the store without knowing whether its log is whole",
              path);
}

void WriteAcknowledged(const std::string& path, const Acknowledged& mark) {
  MarkBytes bytes{};
  std::memcpy(bytes.data(), &mark, sizeof mark);
  WriteTrailer(kMarkKey, kMarkMagic, bytes);
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  (void)!pwrite(fd, bytes.data(), bytes.size(), 0);
  close(fd);
}

}  // namespace cairn
