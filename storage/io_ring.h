// IoRing: many reads and writes of files under way at once from one thread, by Linux's io_uring.
//
// The system calls are made directly: four of them do all that is needed here, and no library comes
// on top. Kernels and containers may refuse io_uring; then threads must do (batch_reader.h). One
// thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/error.h"

namespace cairn {

/// One read or write. Its memory must stay until its completion was taken.
struct IoOperation {
  enum class Kind : uint8_t { kRead, kWrite };
  Kind kind = Kind::kRead;
  int fd = -1;
  uint64_t offset = 0;
  std::byte* data = nullptr;
  uint32_t bytes = 0;
  uint64_t tag = 0;  ///< comes back with the completion
};

struct IoCompletion {
  uint64_t tag = 0;
  int32_t result = 0;  ///< bytes, perhaps fewer than asked for, or -errno
};

class IoRing {
 private:
  struct Rings;

 public:
  /// Room for `capacity` operations, 1 to 4096. kUnsupported if the system gives no io_uring.
  static Result<std::unique_ptr<IoRing>> Open(uint32_t capacity);
  explicit IoRing(std::unique_ptr<Rings> rings);
  /// Waits for what is under way.
  ~IoRing();
  IoRing(const IoRing&) = delete;
  IoRing& operator=(const IoRing&) = delete;

  uint32_t capacity() const;
  /// Operations added and not yet taken back.
  uint32_t pending() const;
  /// Only while pending() < capacity().
  void Add(const IoOperation& operation);
  /// Starts what was added; returns when at least `wait_for` of those pending are completed.
  Status Submit(uint32_t wait_for);
  /// A completed operation, if there is one.
  std::optional<IoCompletion> Take();

 private:
  std::unique_ptr<Rings> rings_;
};

}  // namespace cairn
