// Damage to one session of a store that nobody has open, as a failing disk would do it.
#pragma once

#include <random>
#include <string>

#include "base/error.h"
#include "storage/block_scan.h"

namespace cairn::test {

/// Flips a bit of one of the session's blocks, of which it has some, in the segment that has it.
Status DamageBlock(const std::string& store, const std::string& session, const BlockGrid& grid,
                   std::mt19937_64& random);

/// Flips a bit in one of the catalog's entries whose key begins with `prefix`; nothing if there is
/// none.
Status DamageEntry(const std::string& store, const std::string& prefix, std::mt19937_64& random);

}  // namespace cairn::test
