// The device itself beside our tiers: batches of blocks of a plain file, by the reader that our
// store uses.
#pragma once

#include <memory>

#include "bench/ladder_store.h"
#include "bench/ladder_turn.h"

namespace cairn {

/// Reads of key.batch blocks past the page cache; `file` must outlive the case.
std::unique_ptr<LadderCase> MakeRawFetch(LadderKey key, const LadderFile& file);

}  // namespace cairn
