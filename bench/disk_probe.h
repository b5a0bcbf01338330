// DiskProbe: a short look at how fast a disk is for what a store does: batches of scattered reads
// past the page cache, and appending with a sync behind it. A few seconds and one small file, which
// has no name as soon as it is made, so that nothing stays whatever happens. `cairn bench storage`
// measures; this tells a disk from a hindrance.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"

namespace cairn {

struct DiskProbe {
  uint64_t file_bytes = 0;
  double write_bytes_per_second = 0;  ///< appended in pieces of 8 MiB, each synced
  double sync_ms = 0;                 ///< to append 1 MiB and sync it; the median
  double read_bytes_per_second = 0;   ///< 16 KiB at random places, 64 at once
  double read_batch_ms = 0;           ///< such a batch; the median
  bool by_ring = false;               ///< io_uring, or else threads

  static constexpr uint64_t kMostBytes = 64 << 20;
  /// Takes at most about four seconds; more on a disk that writes less than 8 MiB in one.
  /// kUnsupported where files cannot be read past the page cache,
  /// as in memory; then nothing is to be measured.
  static Result<DiskProbe> Measure(const std::string& directory);
};

}  // namespace cairn
