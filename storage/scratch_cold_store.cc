#include "storage/scratch_cold_store.h"

#include <algorithm>

namespace cairn {

Result<std::unique_ptr<ScratchColdStore>> ScratchColdStore::Open(std::unique_ptr<ColdStore> below,
                                                                 uint64_t limit_bytes) {
  CAIRN_TRY(const auto extents, below->Extents());
  return std::unique_ptr<ScratchColdStore>(new ScratchColdStore(
      std::move(below), std::set<uint64_t>(extents.begin(), extents.end()), limit_bytes));
}

Status ScratchColdStore::WriteBlocks(std::span<const BlockRecord> records) {
  for (const BlockRecord& record : records) {
    if (IsBelow(record.id.extent)) return WrittenBefore(record.id);
  }
  return top_.WriteBlocks(records);
}

Status ScratchColdStore::ReadBlocks(std::span<const BlockId> ids, size_t payload_bytes,
                                    std::span<std::byte* const> targets) {
  const auto below = [&](const BlockId& id) { return IsBelow(id.extent); };
  if (std::ranges::all_of(ids, below)) return below_->ReadBlocks(ids, payload_bytes, targets);
  if (std::ranges::none_of(ids, below)) return top_.ReadBlocks(ids, payload_bytes, targets);
  std::vector<BlockId> parts[2];
  std::vector<std::byte*> part_targets[2];
  for (size_t i = 0; i < ids.size(); ++i) {
    const size_t part = below(ids[i]) ? 0 : 1;
    parts[part].push_back(ids[i]);
    part_targets[part].push_back(targets[i]);
  }
  CAIRN_TRY(below_->ReadBlocks(parts[0], payload_bytes, part_targets[0]));
  return top_.ReadBlocks(parts[1], payload_bytes, part_targets[1]);
}

Status ScratchColdStore::DropExtent(uint64_t extent, uint32_t from) {
  if (!IsBelow(extent)) return top_.DropExtent(extent, from);
  return Fail(Errc::kInvalidArgument,
              "extent {} is of the store below the scratch one, which is only read", extent);
}

Result<std::vector<uint64_t>> ScratchColdStore::Extents() {
  CAIRN_TRY(std::vector<uint64_t> extents, top_.Extents());
  extents.insert(extents.end(), extents_below_.begin(), extents_below_.end());
  std::ranges::sort(extents);
  return extents;
}

Status ScratchColdStore::WriteMeta(const MetaBatch& batch) {
  const std::lock_guard lock(meta_mutex_);
  std::vector<std::string> gone = batch.deletes;
  for (const std::string& prefix : batch.delete_prefixes) {
    CAIRN_TRY(const MetaEntries entries, below_->ScanMeta(prefix));
    for (const auto& [key, value] : entries) gone.push_back(key);
  }
  CAIRN_TRY(top_.WriteMeta(batch));
  deleted_.insert(gone.begin(), gone.end());
  return Ok();
}

Result<std::optional<std::string>> ScratchColdStore::ReadMeta(std::string_view key) {
  const std::lock_guard lock(meta_mutex_);
  CAIRN_TRY(auto value, top_.ReadMeta(key));
  if (value.has_value() || deleted_.contains(key)) return value;
  return below_->ReadMeta(key);
}

Result<MetaEntries> ScratchColdStore::ScanMeta(std::string_view prefix) {
  const std::lock_guard lock(meta_mutex_);
  CAIRN_TRY(MetaEntries entries, top_.ScanMeta(prefix));
  CAIRN_TRY(MetaEntries below, below_->ScanMeta(prefix));
  const auto own = static_cast<std::ptrdiff_t>(entries.size());
  for (auto& entry : below) {
    const auto end = entries.begin() + own;
    const auto found = std::lower_bound(entries.begin(), end, entry.first,
                                        [](const auto& a, const auto& b) { return a.first < b; });
    const bool hidden =
        (found != end && found->first == entry.first) || deleted_.contains(entry.first);
    if (!hidden) entries.push_back(std::move(entry));
  }
  std::ranges::inplace_merge(entries, entries.begin() + own, {},
                             [](const auto& entry) { return entry.first; });
  return entries;
}

ColdStoreStats ScratchColdStore::Stats() {
  ColdStoreStats stats = below_->Stats();
  const ColdStoreStats top = top_.Stats();
  stats.payload_bytes += top.payload_bytes;
  stats.bytes_written += top.bytes_written;
  stats.bytes_read += top.bytes_read;
  return stats;
}

}  // namespace cairn
