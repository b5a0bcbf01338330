// BatchReader: reads many places of files at once, past the page cache where the files were opened
// so. One io_uring serves a whole batch; where the system gives none, threads do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "storage/io_ring.h"
#include "storage/worker_pool.h"

namespace cairn {

/// `bytes` bytes at `offset` of an open file; no alignment is asked for.
struct FilePlace {
  int fd = -1;
  uint64_t offset = 0;
  uint32_t bytes = 0;
};

/// Thread-safe: each batch under way has a ring and memory of its own, kept for later ones.
class BatchReader {
 public:
  enum class Method : uint8_t { kRing, kThreads };
  /// Reads are of whole pages: every device takes them past the page cache, and finer ones are no
  /// faster (docs/benchmarks.md).
  static constexpr uint32_t kPageBytes = 4096;
  /// Memory of one batch under way: reads beyond it wait for earlier ones. It is used again and
  /// again, so that the device writes to memory that caches hold (docs/benchmarks.md).
  static constexpr size_t kLaneBytes = 4 << 20;
  /// The most bytes of one place.
  static constexpr uint32_t kMaxPlaceBytes = kLaneBytes - 2 * kPageBytes;

  /// kRing falls back to kThreads where the system has no io_uring. `workers` wait for the disk
  /// then, and must outlive this.
  BatchReader(Method method, WorkerPool& workers);
  ~BatchReader();

  Method method() const { return method_; }

  /// Calls done(i, bytes) once for each place, in any order, perhaps from several threads at once;
  /// `bytes` is empty if they could not all be read, and is valid during the call only.
  using Done = FunctionRef<void(size_t, std::span<const std::byte>)>;
  void Read(std::span<const FilePlace> places, Done done);

 private:
  struct Lane;

  std::unique_ptr<Lane> TakeLane();
  void ReadByThreads(std::span<const FilePlace> places, Done done);

  Method method_;
  WorkerPool& workers_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Lane>> lanes_;  // not in use
};

}  // namespace cairn
