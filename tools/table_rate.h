// TableRate: how many look-ups and insertions a BlockTable does in a second that one core gives it.
#pragma once

#include <cstdint>

namespace cairn {

struct TableRate {
  uint32_t slots = 0;
  double lookups = 0;     ///< per second: found and touched in batches of 64, in random order
  double misses = 0;      ///< per second: the same of blocks that are not there
  double insertions = 0;  ///< per second: Evict and Insert with the table full
};

/// Medians of `repeats` passes over a table of `slots`.
TableRate MeasureTable(uint32_t slots, int repeats);

}  // namespace cairn
