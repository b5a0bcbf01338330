// Import: an exported session's file, read and checked, and made a session of a store.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "storage/block_scan.h"
#include "storage/session_catalog.h"
#include "storage/session_export.h"

namespace cairn {

/// What the file of a session says of it, but for the payloads.
struct ExportedSession {
  SessionRecord record{};  ///< without id and ranges
  BlockGrid grid{};
  uint64_t blocks = 0;
  std::vector<uint32_t> tokens{};
  std::string tail{};
  std::vector<SummarySection> sections{};  ///< `first` counts the session's blocks, no extent
};

/// Payloads of consecutive blocks from the session's `first` on, by block, layer and head. The
/// session's own parts have been read by then.
using PayloadSink = FunctionRef<Status(const ExportedSession& session, uint32_t first,
                                       std::span<const std::byte> payloads)>;

/// Reads a whole file. kCorruption names the place where it is not what was written. The watch
/// counts bytes.
Result<ExportedSession> ReadSessionFile(const std::string& path, PayloadSink sink,
                                        TransferWatch watch);

/// Makes the session of a file one of the store under `name`: its blocks go to a new extent, then
/// one atomic step makes it visible. On an error, and after a crash, there is nothing of it.
Result<SessionRecord> ImportSession(ColdStore& cold, SessionCatalog& catalog,
                                    const std::string& path, std::string_view name,
                                    TransferWatch watch);

}  // namespace cairn
