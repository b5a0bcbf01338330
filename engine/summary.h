// The summary of a block: the representatives that stand for it in a search, packed as they are
// stored. It follows from the block's payloads alone, so what is lost can be made again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/dtype.h"
#include "base/error.h"
#include "base/parallel.h"
#include "engine/options.h"
#include "storage/cold_store.h"
#include "storage/session_catalog.h"

namespace cairn {

/// Element type of stored representatives.
DType SummaryDType(const SessionShape& shape);

/// Bytes of one block's summary in one layer: [Hkv, R, D] of SummaryDType.
size_t SummaryBytes(const SessionShape& shape);

/// Writes one head's part of a block's summary: SummaryBytes / Hkv bytes. `scratch` is [R, D].
void SummarizeHead(const SessionShape& shape, const std::byte* payload, float* scratch,
                   char* target);

/// Sees how many blocks were read and how many there are; an error of its own ends the work.
using RebuildWatch = FunctionRef<Status(uint64_t done, uint64_t total)>;

/// Makes the summaries of `session`'s extents anew from their blocks, each of which is checked: up
/// to the last block that any of `all`, the store's sessions, covers, or to the first that is
/// damaged; one that cannot be read is an error. One atomic step for each extent; an error or a
/// stop between two leaves the others as they were. Memory: the summaries of one extent. Nothing
/// else is changed.
Status RebuildSummaries(ColdStore& cold, SessionCatalog& catalog, const SessionRecord& session,
                        std::span<const SessionRecord> all, RebuildWatch watch);

}  // namespace cairn
