// What no session of a store has: entries of the catalog and blocks that crashes, cuts and damage
// have left behind. Private to SessionCatalog. All of it asks for the list of all sessions, which
// must be complete: of one that cannot be read nobody knows what it has.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "storage/catalog_format.h"
#include "storage/cold_store.h"
#include "storage/session_catalog.h"

namespace cairn {

/// Forgets the extent's blocks from ordinal `end` on.
Status DropFrom(ColdStore& cold, uint64_t extent, uint64_t end);

/// Drops all blocks behind what sessions cover.
Status DropOrphans(ColdStore& cold, const std::vector<SessionRecord>& sessions);

/// Adds to `batch` that all goes which belongs to sessions and extents that `sessions` do not name.
/// `next` are the ids that were not given yet.
Status AddForgotten(ColdStore& cold, const std::vector<SessionRecord>& sessions,
                    const NextIds& next, MetaBatch& batch);

/// Adds to `batch` that those sections go that begin behind what sessions cover of their extents.
Status AddSectionsBehind(ColdStore& cold, const std::vector<SessionRecord>& sessions,
                         MetaBatch& batch);

}  // namespace cairn
