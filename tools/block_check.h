// BlockCheck: some blocks of a session, read and checked, beside a writer too.
#pragma once

#include <cstdint>
#include <span>

#include "base/error.h"
#include "engine/options.h"
#include "storage/cold_store.h"
#include "storage/session_catalog.h"
#include "tools/run_options.h"
#include "tools/store_check.h"

namespace cairn {

/// One layer's and head's part of a session's block.
struct ListedBlock {
  int64_t block = 0;  ///< of the session, from 0
  BlockId id{};
};

/// Reads `blocks` of the session `record`, of this shape, as `cold` has it. What fails is read
/// again, from the store that `run` names opened anew, and told if it fails again: a writer may
/// have taken away or moved what was read. Findings are in the order of `blocks`. kNotFound if the
/// session is gone by then, or has other blocks; kInterrupted after Ctrl-C.
Result<StoreCheck> CheckBlocks(const RunOptions& run, ColdStore& cold, const SessionRecord& record,
                               const SessionShape& shape, std::span<const ListedBlock> blocks);

}  // namespace cairn
