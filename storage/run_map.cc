#include "storage/run_map.h"

#include <algorithm>
#include <utility>

namespace cairn {

void RunMap::Add(Entry entry) {
  const BlockId first = entry.run.first;
  entries_.insert_or_assign(first, std::move(entry));
}

RunMap::Entry* RunMap::Find(const BlockId& id) {
  auto at = entries_.upper_bound(id);
  if (at == entries_.begin()) return nullptr;
  Entry& entry = std::prev(at)->second;
  if (entry.run.first.extent != id.extent) return nullptr;
  return !entry.known || entry.run.IndexOf(id) ? &entry : nullptr;
}

RunMap::Entry* RunMap::FindFirst(const BlockId& first) {
  const auto found = entries_.find(first);
  return found == entries_.end() ? nullptr : &found->second;
}

std::optional<BlockId> RunMap::LastOf(uint64_t extent) const {
  const auto at = entries_.upper_bound({extent, UINT32_MAX, UINT16_MAX, UINT16_MAX});
  if (at == entries_.begin()) return {};
  const Entry& entry = std::prev(at)->second;
  if (entry.run.first.extent != extent) return {};
  return entry.known ? entry.run.At(entry.run.blocks - 1) : entry.run.first;
}

RunMap::Cut RunMap::PlanCut(uint64_t extent, uint32_t from) const {
  Cut cut;
  const BlockId begin{.extent = extent, .ordinal = from};
  auto at = entries_.lower_bound(begin);
  if (at != entries_.begin()) {
    const Entry& before = std::prev(at)->second;
    const bool reaches = before.known && before.run.first.extent == extent &&
                         before.run.Distance(begin) < before.run.blocks;
    if (reaches) {
      cut.shortened = before.run;
      cut.shortened->blocks = static_cast<uint32_t>(before.run.Distance(begin));
    }
  }
  for (; at != entries_.end() && at->first.extent == extent; ++at) cut.gone.push_back(at->first);
  return cut;
}

void RunMap::Apply(const Cut& cut) {
  for (const BlockId& first : cut.gone) entries_.erase(first);
  if (cut.shortened) entries_.at(cut.shortened->first).run = *cut.shortened;
}

std::vector<uint64_t> RunMap::Extents() const {
  std::vector<uint64_t> extents;
  for (const auto& [first, unused] : entries_) {
    if (extents.empty() || extents.back() != first.extent) extents.push_back(first.extent);
  }
  return extents;
}

std::map<uint64_t, std::vector<ByteRange>> RunMap::InUse() const {
  std::map<uint64_t, std::vector<ByteRange>> segments;
  for (const auto& [first, entry] : entries_) {
    if (entry.known) segments[entry.run.segment].push_back({entry.run.offset, entry.run.end()});
  }
  for (auto& [segment, ranges] : segments) std::ranges::sort(ranges, {}, &ByteRange::begin);
  return segments;
}

uint64_t RunMap::payload_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [first, entry] : entries_) bytes += entry.known ? entry.run.bytes() : 0;
  return bytes;
}

bool RunMap::complete() const {
  return std::ranges::all_of(entries_, [](const auto& entry) { return entry.second.known; });
}

}  // namespace cairn
