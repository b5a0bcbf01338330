// StoreCheck: all of a store, or of some sessions, read and checked, beside a writer too.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/verifier.h"
#include "tools/run_options.h"

namespace cairn {

/// A damage with the tokens that a block holds.
struct CheckFinding {
  Damage damage;
  std::optional<int64_t> first_token, last_token;
};

struct StoreCheck {
  VerifyTotals totals;
  std::vector<CheckFinding> findings;

  /// How many of them could not be read, and may be whole.
  size_t unreadable() const;
};

/// Everything of the sessions named, or of all if none is. What is damaged is read again, from the
/// store opened anew, and told if it is found again: a writer may have taken away what was read.
/// Shows on stderr how far it is, unless `quiet`. kNotFound if a named session is not there;
/// kInterrupted after Ctrl-C.
Result<StoreCheck> CheckStore(const RunOptions& run, const std::set<std::string>& names,
                              bool quiet);

/// The document of `cairn verify`.
nlohmann::json ToJson(const StoreCheck& check);
/// Where it is: "session 's' layer 1 head 0 block 7 (tokens 448 to 511)", or "store".
std::string PlaceOf(const CheckFinding& finding);
/// An error if something was found: what helps, in words for people. kCorruption if any of it is
/// damage.
Status Verdict(const StoreCheck& check, const std::string& store);
/// Of something that is not damaged as far as anybody knows, with the remedy.
Error CannotBeRead(const Damage& damage, const std::string& store);
/// A line for people.
std::string Describe(const CheckFinding& finding);

}  // namespace cairn
