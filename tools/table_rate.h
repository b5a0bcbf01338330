// TableRate: how many look-ups and insertions a BlockTable does in a second, on one core.
#pragma once

#include <cstdint>

namespace cairn {

struct TableRate {
  uint32_t slots = 0;
  double lookups = 0;     ///< per second: Find and Touch of a block that is there, in random order
  double misses = 0;      ///< per second: Find of a block that is not there
  double insertions = 0;  ///< per second: Evict and Insert with the table full
};

/// Medians of `repeats` passes over a table of `slots`.
TableRate MeasureTable(uint32_t slots, int repeats);

}  // namespace cairn
