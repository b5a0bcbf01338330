// Where a session can be forked: behind any of its sealed blocks. The tokens and rows of such a
// place follow from the shape; the hash chain does not, so the blocks before it are read.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "engine/payload_chain.h"
#include "storage/cold_store.h"
#include "storage/session_catalog.h"

namespace cairn {

/// Tokens of one sealed block of the session. kUnsupported if its rows are not its tokens and the
/// landmarks of whole blocks, so that nobody can say which tokens a block holds.
Result<int64_t> TokensPerBlock(const SessionRecord& record);

/// The fork point behind `blocks` sealed blocks; `properties` are the caller's at that place.
Result<ForkPoint> ForkPointBehind(ColdStore& cold, const SessionRecord& source, int64_t blocks,
                                  const std::string& properties, BlockWatch watch);

}  // namespace cairn
