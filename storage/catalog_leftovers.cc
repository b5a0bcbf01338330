#include "storage/catalog_leftovers.h"

#include <set>
#include <string>
#include <utility>

#include "storage/extent_use.h"

namespace cairn {

Status DropFrom(ColdStore& cold, uint64_t extent, uint64_t end) {
  if (end > UINT32_MAX) return Ok();  // in use to the last possible ordinal
  return cold.DropExtent(extent, static_cast<uint32_t>(end));
}

Status DropOrphans(ColdStore& cold, const std::vector<SessionRecord>& sessions) {
  const ExtentUse use(sessions);
  CAIRN_TRY(const std::vector<uint64_t> extents, cold.Extents());
  for (const uint64_t extent : extents) CAIRN_TRY(DropFrom(cold, extent, use.End(extent)));
  return Ok();
}

Status AddForgotten(ColdStore& cold, const std::vector<SessionRecord>& sessions,
                    const NextIds& next, MetaBatch& batch) {
  const auto add = [&](std::string prefix) -> Status {
    CAIRN_TRY(const MetaEntries entries, cold.ScanMeta(prefix));
    if (!entries.empty()) batch.delete_prefixes.push_back(std::move(prefix));
    return Ok();
  };
  std::set<uint64_t> ids;
  for (const SessionRecord& session : sessions) ids.insert(session.id);
  for (uint64_t id = 1; id < next.session; ++id) {
    if (ids.contains(id)) continue;
    CAIRN_TRY(add(TokensPrefix(id)));
    CAIRN_TRY(add(TailKey(id)));
  }
  const ExtentUse use(sessions);
  for (uint64_t extent = 1; extent < next.extent; ++extent) {
    if (!use.Names(extent)) CAIRN_TRY(add(SectionsPrefix(extent)));
  }
  return Ok();
}

Status AddSectionsBehind(ColdStore& cold, const std::vector<SessionRecord>& sessions,
                         MetaBatch& batch) {
  const ExtentUse use(sessions);
  for (const auto& [extent, end] : use.ends()) {
    CAIRN_TRY(const MetaEntries sections, cold.ScanMeta(SectionsPrefix(extent)));
    for (const auto& [key, unused] : sections) {
      if (FirstBlockInKey(key) >= end) batch.deletes.push_back(key);
    }
  }
  return Ok();
}

}  // namespace cairn
