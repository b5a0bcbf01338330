#include "storage/memory_cold_store.h"

#include <cstring>

#include "base/byte_size.h"

namespace cairn {

Status MemoryColdStore::WriteBlocks(std::span<const BlockRecord> records) {
  CAIRN_TRY(CheckWriteOrder(records));
  std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const BlockRecord& record : records) bytes += record.payload.size();
  if (limit_bytes_ > 0 && stats_.payload_bytes + bytes > limit_bytes_) {
    return Fail(Errc::kOutOfSpace, "the store in memory would grow past its limit of {}",
                FormatByteSize(limit_bytes_));
  }
  for (const BlockRecord& record : records) {
    const auto above = blocks_.lower_bound(record.id);
    if (above == blocks_.end() || above->first.extent != record.id.extent) continue;
    return WrittenBefore(record.id);
  }
  for (const BlockRecord& record : records) {
    blocks_.emplace(record.id, std::vector(record.payload.begin(), record.payload.end()));
  }
  stats_.payload_bytes += bytes;
  stats_.bytes_written += bytes;
  return Ok();
}

Status MemoryColdStore::ReadBlocks(std::span<const BlockId> ids, size_t payload_bytes,
                                   std::span<std::byte* const> targets) {
  std::lock_guard lock(mutex_);
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto found = blocks_.find(ids[i]);
    if (found == blocks_.end()) return BlockAbsent(ids[i]);
    if (found->second.size() != payload_bytes) {
      return BlockOfOtherSize(ids[i], found->second.size(), payload_bytes);
    }
    std::memcpy(targets[i], found->second.data(), payload_bytes);
    stats_.bytes_read += payload_bytes;
  }
  return Ok();
}

Status MemoryColdStore::DropExtent(uint64_t extent, uint32_t from) {
  std::lock_guard lock(mutex_);
  auto it = blocks_.lower_bound(BlockId{.extent = extent, .ordinal = from});
  while (it != blocks_.end() && it->first.extent == extent) {
    stats_.payload_bytes -= it->second.size();
    it = blocks_.erase(it);
  }
  return Ok();
}

Result<std::vector<uint64_t>> MemoryColdStore::Extents() {
  std::lock_guard lock(mutex_);
  std::vector<uint64_t> extents;
  for (const auto& [id, bytes] : blocks_) {
    if (extents.empty() || extents.back() != id.extent) extents.push_back(id.extent);
  }
  return extents;
}

Status MemoryColdStore::WriteMeta(const MetaBatch& batch) {
  std::lock_guard lock(mutex_);
  for (const std::string& prefix : batch.delete_prefixes) {
    auto it = meta_.lower_bound(prefix);
    while (it != meta_.end() && it->first.starts_with(prefix)) it = meta_.erase(it);
  }
  for (const std::string& key : batch.deletes) meta_.erase(key);
  for (const auto& [key, value] : batch.puts) meta_.insert_or_assign(key, value);
  return Ok();
}

Result<std::optional<std::string>> MemoryColdStore::ReadMeta(std::string_view key) {
  std::lock_guard lock(mutex_);
  const auto found = meta_.find(key);
  if (found == meta_.end()) return std::optional<std::string>();
  return std::optional<std::string>(found->second);
}

Result<MetaEntries> MemoryColdStore::ScanMeta(std::string_view prefix) {
  std::lock_guard lock(mutex_);
  MetaEntries entries;
  for (auto it = meta_.lower_bound(prefix); it != meta_.end() && it->first.starts_with(prefix);
       ++it) {
    entries.emplace_back(it->first, it->second);
  }
  return entries;
}

ColdStoreStats MemoryColdStore::Stats() {
  std::lock_guard lock(mutex_);
  ColdStoreStats stats = stats_;
  stats.disk_bytes = 0;
  return stats;
}

}  // namespace cairn
