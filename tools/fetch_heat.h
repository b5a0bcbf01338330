// FetchHeat: how often the blocks of a session were fetched, by a trace that --trace recorded.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/error.h"
#include "storage/access_trace.h"
#include "storage/block_id.h"
#include "tools/html_page.h"
#include "tools/session_text.h"
#include "tools/stored_session.h"

namespace cairn {

/// What a trace says of a block.
struct Fetches {
  int64_t count = 0;
  int64_t last = -1;  ///< number of the access, from 0
};
using FetchCounts = std::map<BlockId, Fetches>;

/// A recorded trace, by the file's name.
struct NamedTrace {
  std::string path;
  FetchCounts counts;
  TraceSource source;

  /// kMismatch if it is known to be of another store than that of `identity` (ColdStoreStats).
  Status CheckStore(uint64_t identity) const;
};

/// Errors as of ReadAccessLog.
Result<NamedTrace> CountFetches(const std::string& trace_path);

/// A map of them over the session's text, with the beginnings of the passages.
TextHeat HeatOf(const FetchCounts& fetches, const StoredSession& session, const SessionText& text);

}  // namespace cairn
