// Damage to one session of a store that nobody has open, as a failing disk would do it.
#pragma once

#include <random>
#include <string>

#include "base/error.h"

namespace cairn::test {

/// Flips a bit of one of the session's block records, wherever a table file has it. The session has
/// complete blocks of the shape that books have.
Status DamageBlock(const std::string& store, const std::string& session, std::mt19937_64& random);

/// Flips a bit in one of the catalog's entries whose key begins with `prefix`; nothing if there is
/// none.
Status DamageEntry(const std::string& store, const std::string& prefix, std::mt19937_64& random);

}  // namespace cairn::test
