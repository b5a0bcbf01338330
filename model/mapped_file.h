// MappedFile: a whole file as read-only memory. Owns the mapping.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "base/error.h"

namespace cairn {

/// Move-only; the bytes may be read from any thread. The file must not be cut short while mapped:
/// the operating system then ends the process that touches the missing part.
class MappedFile {
 public:
  /// kNotFound if there is no such file, kInvalidArgument if it is not a regular file, kIo if the
  /// system refuses. An empty file maps to no bytes.
  static Result<MappedFile> Open(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

}  // namespace cairn
