// RepairPlan: what `cairn repair` will do with a damaged session, known before anything is done.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "storage/session_catalog.h"
#include "tools/session_check.h"
#include "tools/session_profile.h"

namespace cairn {

struct RepairPlan {
  SessionRecord record{};        ///< as it is
  std::string hopeless{};        ///< why it cannot be repaired; empty if it can
  SessionProfile profile{};      ///< as it is
  SessionProfile cut_profile{};  ///< at the cut
  int64_t blocks = 0;            ///< sealed blocks before the cut
  int64_t tokens = 0;            ///< tokens before the cut
  bool tokens_known = false;     ///< the tokens behind the cut are stored, and whole
  bool summaries = false;        ///< summaries are made anew from blocks, before anything else

  /// False if all is whole once the summaries are.
  bool cuts() const { return static_cast<uint64_t>(tokens) < record.tokens; }
};

/// For a session with damage. The cut is the last end of a block before which all is whole and
/// where the session can be continued; damaged summaries of whole blocks are no reason to cut.
RepairPlan PlanRepair(const SessionRecord& record, const SessionCheck& check);

/// Moves the cut back to where a step of reading began, if it lies in the session's first text:
/// what is computed again from there on is what was computed before, bit for bit.
void StartWithAStep(RepairPlan& plan);

}  // namespace cairn
