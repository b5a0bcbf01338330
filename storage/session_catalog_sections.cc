// SessionCatalog: the summary sections of extents.
#include <algorithm>
#include <utility>

#include "storage/catalog_format.h"
#include "storage/session_catalog.h"

namespace cairn {
namespace {

/// The part of `section` that lies in `range`; count 0 if none does.
SummarySection CutTo(const ExtentRange& range, SummarySection section) {
  const uint64_t part_bytes = section.bytes.size() / section.count;
  const uint64_t begin = std::max<uint64_t>(section.first, range.first);
  const uint64_t end =
      std::min(uint64_t{section.first} + section.count, uint64_t{range.first} + range.count);
  const uint64_t count = end > begin ? end - begin : 0;
  if (count < section.count) {
    section.bytes = section.bytes.substr(count > 0 ? (begin - section.first) * part_bytes : 0,
                                         count * part_bytes);
  }
  section.first = static_cast<uint32_t>(begin);
  section.count = static_cast<uint32_t>(count);
  return section;
}

}  // namespace

Result<std::vector<SummarySection>> SessionCatalog::ReadSections(const SessionRecord& record,
                                                                 std::optional<uint16_t> type,
                                                                 uint16_t layer) const {
  std::vector<SummarySection> sections;
  for (const ExtentRange& range : record.ranges) {
    CAIRN_TRY(MetaEntries entries, cold_->ScanMeta(SectionsPrefix(range.extent, layer)));
    for (auto& [key, value] : entries) {
      if (FirstBlockInKey(key) >= uint64_t{range.first} + range.count) continue;
      CAIRN_TRY(const std::string body, OpenValue(key, std::move(value)));
      CAIRN_TRY(SummarySection section, DecodeSection(key, body));
      if (type && section.type != *type) continue;
      section = CutTo(range, std::move(section));
      if (section.count > 0) sections.push_back(std::move(section));
    }
  }
  return sections;
}

Status SessionCatalog::ReplaceSections(uint64_t extent, uint32_t end,
                                       const std::vector<SummarySection>& sections) {
  MetaBatch batch;
  CAIRN_TRY(const MetaEntries before, cold_->ScanMeta(SectionsPrefix(extent)));
  for (const auto& [key, unused] : before) {
    if (FirstBlockInKey(key) < end) batch.deletes.push_back(key);
  }
  for (const SummarySection& section : sections) CAIRN_TRY(AddSection(section, batch));
  if (batch.deletes.empty() && batch.puts.empty()) return Ok();
  return cold_->WriteMeta(batch);
}

}  // namespace cairn
