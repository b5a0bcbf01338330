// StoreCheck: all of a store, or of some sessions, read and checked, beside a writer too.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/verifier.h"
#include "tools/flags.h"

namespace cairn {

/// A damage with the tokens that a block holds.
struct CheckFinding {
  Damage damage;
  std::optional<int64_t> first_token, last_token;
};

struct StoreCheck {
  VerifyTotals totals;
  std::vector<CheckFinding> findings;
};

/// Everything of the sessions named, or of all if none is. What is damaged is read again, from the
/// store opened anew, and told if it is found again: a writer may have taken away what was read.
/// kNotFound if a named session is not there; kInterrupted after Ctrl-C.
Result<StoreCheck> CheckStore(const Flags& flags, const std::set<std::string>& names);

/// The document of `cairn verify`.
nlohmann::json ToJson(const StoreCheck& check);
/// A line for people.
std::string Describe(const CheckFinding& finding);

}  // namespace cairn
