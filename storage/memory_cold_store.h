// MemoryColdStore: a ColdStore in memory, for tests and for runs that leave nothing behind.
//
// Grows with what is written, up to an optional limit. Thread-safe; "durable" means until
// destroyed, so a second TieredStore or SessionCatalog over it sees what a restart would.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "storage/cold_store.h"

namespace cairn {

class MemoryColdStore final : public ColdStore {
 public:
  /// `limit_bytes` of payloads at most; 0: no limit.
  explicit MemoryColdStore(uint64_t limit_bytes = 0) : limit_bytes_(limit_bytes) {}

  Status WriteBlocks(std::span<const BlockRecord> records) override;
  Status ReadBlocks(std::span<const BlockId> ids, size_t payload_bytes,
                    std::span<std::byte* const> targets) override;
  Status DropExtent(uint64_t extent, uint32_t from) override;
  Result<std::vector<uint64_t>> Extents() override;
  Status WriteMeta(const MetaBatch& batch) override;
  Result<std::optional<std::string>> ReadMeta(std::string_view key) override;
  Result<MetaEntries> ScanMeta(std::string_view prefix) override;
  ColdStoreStats Stats() override;

 private:
  const uint64_t limit_bytes_;
  std::mutex mutex_;
  std::map<BlockId, std::vector<std::byte>> blocks_;  // memory needs no checksums
  std::map<std::string, std::string, std::less<>> meta_;
  ColdStoreStats stats_;
};

}  // namespace cairn
