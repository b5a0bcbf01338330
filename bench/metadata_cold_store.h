// MetadataColdStore: a ColdStore in memory that keeps metadata and no payloads, for runs whose host
// tier has room for every block: what is flushed stays there, and would otherwise be in memory
// twice.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/cold_store.h"
#include "storage/memory_cold_store.h"

namespace cairn {

/// Thread-safe. To read a block is kNotFound: the host tier had no room for it after all.
class MetadataColdStore final : public ColdStore {
 public:
  Status WriteBlocks(std::span<const BlockRecord> records) override {
    return CheckWriteOrder(records);
  }
  Status ReadBlocks(std::span<const BlockId> ids, size_t payload_bytes,
                    std::span<std::byte* const> targets) override {
    return kept_.ReadBlocks(ids, payload_bytes, targets);
  }
  Status DropExtent(uint64_t, uint32_t) override { return Ok(); }
  Result<std::vector<uint64_t>> Extents() override { return kept_.Extents(); }
  Status WriteMeta(const MetaBatch& batch) override { return kept_.WriteMeta(batch); }
  Result<std::optional<std::string>> ReadMeta(std::string_view key) override {
    return kept_.ReadMeta(key);
  }
  Result<MetaEntries> ScanMeta(std::string_view prefix) override { return kept_.ScanMeta(prefix); }
  ColdStoreStats Stats() override { return kept_.Stats(); }

 private:
  MemoryColdStore kept_;
};

}  // namespace cairn
