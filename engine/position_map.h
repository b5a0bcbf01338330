// StepPlan: which blocks a step may see and at which positions, decided once for all layers.
//
// Positions are counted in slots of B rows. Landmark mode is the "stingy" mapping of the spec
// (section 4); unmodified mode packs sinks, chosen, recent and local blocks in that order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "engine/options.h"

namespace cairn {

/// A block that every row of the step attends, and the slot it stands in.
struct PlacedBlock {
  int64_t block = 0;  ///< ordinal in the session
  int32_t slot = 0;

  bool operator==(const PlacedBlock&) const = default;
};

struct StepPlan {
  int64_t blocks = 0;     ///< n: complete blocks when the step began
  int32_t tail_rows = 0;  ///< rows of the unfinished block before the step
  int32_t choose = 0;     ///< k_eff: blocks chosen per KV head among the candidates

  int64_t far_begin = 0;  ///< candidates [far_begin, far_end) are scored at far_slot
  int64_t far_end = 0;
  int32_t far_slot = 0;
  int64_t near_begin = 0;  ///< candidates [near_begin, near_end) are scored at a slot of their own
  int64_t near_end = 0;    ///< (landmark mode: the last k_eff, or `room`)

  std::vector<PlacedBlock> fixed;  ///< sinks and recent blocks
  int32_t first_slot = 0;          ///< slot of the first chosen block
  int32_t crowd = 0;               ///< so many of the oldest chosen share it, for want of room
  int32_t local_slot = 0;          ///< slot of the unfinished block, or of the step's first row

  /// Slot at which a near candidate is scored.
  int32_t NearSlot(int64_t block) const { return static_cast<int32_t>(block - near_begin) + 1; }
  /// Slot of the rank-th chosen block (ranks ascend with the ordinal).
  int32_t ChosenSlot(int32_t rank, int64_t block) const {
    return first_slot + std::max(0, rank - crowd) +
           (block >= near_begin && block < near_end ? 1 : 0);
  }
  /// Candidates are all chosen, so nothing needs to be scored.
  bool TakesAll() const { return choose == (far_end - far_begin) + (near_end - near_begin); }
};

/// Plans a step that finds `rows_before` rows in the session. At most `room` chosen blocks have a
/// slot of their own: of more, the oldest stand together in the first, where far candidates are
/// scored.
StepPlan PlanStep(const SessionShape& shape, const SessionOptions& options, int64_t rows_before,
                  int32_t room = std::numeric_limits<int32_t>::max());

}  // namespace cairn
