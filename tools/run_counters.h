// RunCounters: what a command has done so far, for its report and for who watches it meanwhile.
#pragma once

#include <atomic>
#include <cstdint>

namespace cairn {

/// They only grow.
struct RunCounters {
  std::atomic<uint64_t> tokens_read = 0;       ///< texts, questions and what a template puts around
  std::atomic<uint64_t> tokens_generated = 0;  ///< of answers
  std::atomic<uint64_t> commits = 0;
};

}  // namespace cairn
