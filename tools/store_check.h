// StoreCheck: everything stored read and checked, as `verify` does: a look that finds damage is
// taken twice, as a writer may have taken away what was being read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/verifier.h"
#include "tools/run_options.h"

namespace cairn {

/// A damage with the tokens that a block holds.
struct FoundDamage {
  Damage damage;
  std::optional<int64_t> first_token, last_token;
};

struct StoreCheck {
  std::vector<FoundDamage> findings;
  VerifyTotals totals;
};

/// Where a finding is: "session 's' layer 1 head 0 block 7 (tokens 448 to 511)", or "store".
std::string PlaceOf(const FoundDamage& finding);

/// Reads all of the store, or of the session that is named. Shows on stderr how far it is, unless
/// `quiet`. An error if there is no such store or session, or if it was stopped.
Result<StoreCheck> CheckStore(const RunOptions& run, bool quiet);

}  // namespace cairn
