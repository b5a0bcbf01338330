// StoreCopy: sessions of one store written to another, with all that is theirs and as it is: the
// same records under the same keys.
//
// A reader's view of a store that is written to may lose files. As blocks never change and extents
// are never used again, what was copied stays good: after an error the copy goes on from another
// view, opened later. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "storage/block_scan.h"
#include "storage/session_catalog.h"

namespace cairn {

/// A session to be copied, and the blocks it has of each ordinal.
struct CopiedSession {
  SessionRecord record{};
  BlockGrid grid{};
};

class StoreCopy {
 public:
  /// Sees how many blocks of all layers and heads are copied; its error ends the copy.
  using Watch = FunctionRef<Status(uint64_t done, uint64_t total)>;

  /// `target` must outlive it, and be written to by nobody else.
  explicit StoreCopy(ColdStore& target) : target_(target) {}

  /// Copies the blocks of `sessions` that were not copied before. Each is checked on the way.
  Status CopyBlocks(ColdStore& source, const std::vector<CopiedSession>& sessions, Watch watch);
  /// Copies the catalog of `sessions`, whose blocks were copied. They are all that the target has
  /// then; blocks of others go when it is next opened by a writer.
  Status CopyCatalog(ColdStore& source, const std::vector<CopiedSession>& sessions);

 private:
  ColdStore& target_;
  std::map<uint64_t, uint64_t> ends_;  // by extent, the ordinal behind those copied
};

}  // namespace cairn
