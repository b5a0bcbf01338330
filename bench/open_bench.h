// OpenBench: a session of many tokens, made of random keys and values, is opened from disk and does
// its first full decode step, beside the time it takes to read all its payload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "engine/options.h"

namespace cairn {

struct OpenBenchOptions {
  std::string directory;  ///< exists; `session` in it is made and removed
  int64_t tokens = 1'000'000;
  int64_t commit_tokens = 4096;  ///< made durable at once, as `ingest` does
  int rounds = 5;                ///< of which medians are taken
};

struct OpenBenchResult {
  SessionShape shape;
  int64_t tokens = 0;
  int64_t blocks_per_head = 0;
  uint64_t payload_bytes = 0;
  uint64_t files = 0;  ///< table files
  uint64_t disk_bytes = 0;
  int32_t retrieve = 0;             ///< blocks chosen per KV head in the decode step
  uint64_t fetched_blocks = 0;      ///< in the decode step, over layers and heads
  double open_seconds = 0;          ///< store and session
  double step_seconds = 0;          ///< the first decode step: choose, fetch and attend, all layers
  double payload_read_seconds = 0;  ///< all table files from start to end, past the page cache
  double share = 0;                 ///< (open + step) / payload read, the median of the rounds
  uint64_t memory_bytes = 0;        ///< what the process grew by from before to after
  uint64_t index_bytes = 0;         ///< of it, the vectors that are searched
  double build_seconds = 0;         ///< of making the session
};

/// `stop` is asked now and then with a line about progress; then kInterrupted.
Result<OpenBenchResult> RunOpenBench(const OpenBenchOptions& options,
                                     FunctionRef<bool(const std::string&)> stop);

}  // namespace cairn
