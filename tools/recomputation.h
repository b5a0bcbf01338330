// Recomputation: what a session's tokens behind a place had in blocks, made anew by its model.
#pragma once

#include <memory>

#include "base/error.h"
#include "engine/engine.h"
#include "tools/flags.h"
#include "tools/repair_plan.h"

namespace cairn {

/// Reads the tokens behind the plan's cut once more, which are stored, with the model of the flags.
/// One commit at the end puts the new blocks in the place of the old; until then, and after an
/// error or Ctrl-C, the session is what it was. True if the blocks are the same, bit for bit.
Result<bool> Recompute(const Flags& flags, std::unique_ptr<Engine> engine, const RepairPlan& plan);

}  // namespace cairn
