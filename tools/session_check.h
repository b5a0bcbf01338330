// SessionCheck: all that is stored of one session read and checked, for `verify` and `repair`.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "storage/verifier.h"

namespace cairn {

/// What is whole of a session from its beginning on; what is not, the verifier has.
struct SessionCheck {
  int64_t block_tokens = 0;     ///< tokens of a block; 0 if nobody knows its shape
  uint64_t tokens = 0;          ///< tokens that are there
  WholeBlocks blocks{};         ///< in all layers and heads
  bool only_summaries = false;  ///< what damage there is, is in summaries alone
};

/// Shows on stderr how far it is, unless `quiet`. An error only if it was stopped.
Result<SessionCheck> CheckSession(const SessionRecord& record, bool quiet, Verifier& verifier);

}  // namespace cairn
