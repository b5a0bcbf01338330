// Export: a session with everything of it in one file (docs/format.md), read from a store and
// checked on the way.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "storage/block_scan.h"
#include "storage/session_catalog.h"

namespace cairn {

/// Sees how far a transfer is; its error ends it.
using TransferWatch = FunctionRef<Status(uint64_t done, uint64_t total)>;

/// Writes the file, whose size it gives. On an error, damage in the store among them, a file that
/// was at `path` before is what it was. The watch counts blocks.
Result<uint64_t> ExportSession(ColdStore& cold, const SessionCatalog& catalog,
                               const SessionRecord& record, const BlockGrid& grid,
                               const std::string& path, TransferWatch watch);

}  // namespace cairn
