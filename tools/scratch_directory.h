// ScratchDirectory: where a command keeps what it needs while it works: a directory that the user
// named, which stays, or a temporary one, which goes with this object.
#pragma once

#include <string>

#include "base/error.h"

namespace cairn {

/// Move-only.
class ScratchDirectory {
 public:
  /// Makes `path` if its parent exists; empty: a new directory in the system's temporary one.
  static Result<ScratchDirectory> Open(const std::string& path);
  ~ScratchDirectory();
  ScratchDirectory(ScratchDirectory&& other) noexcept;
  ScratchDirectory& operator=(ScratchDirectory&&) = delete;

  /// Whether what is in it can be gone on with later.
  bool stays() const { return stays_; }
  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  /// Removes `name` in it and all it holds, if it is there.
  Status Remove(const std::string& name) const;

 private:
  ScratchDirectory(std::string path, bool stays) : path_(std::move(path)), stays_(stays) {}

  std::string path_;  // empty: moved from
  bool stays_;
};

}  // namespace cairn
