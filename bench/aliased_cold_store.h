// AliasedColdStore: a ColdStore in memory for a past that no memory holds: one extent may have any
// number of blocks that share few payloads. Whoever reads gets each as a block of its own, copied
// and checked against a checksum like those of any store.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/parallel.h"
#include "storage/block_scan.h"
#include "storage/cold_store.h"
#include "storage/memory_cold_store.h"

namespace cairn {

/// Thread-safe but for Alias, which comes before all that reads. What is written to other extents
/// is kept as MemoryColdStore keeps it.
class AliasedColdStore final : public ColdStore {
 public:
  /// Writes the payload of a block: grid.payload_bytes.
  using Maker = FunctionRef<void(const BlockId&, std::byte* payload)>;

  /// `grid` says which blocks an ordinal has.
  explicit AliasedColdStore(const BlockGrid& grid) : grid_(grid) {}

  /// Gives `extent`, which has no blocks, `blocks` of each layer and head: block n has the payload
  /// that `make` writes for block n % distinct, at once for several blocks. Once.
  void Alias(uint64_t extent, uint32_t blocks, uint32_t distinct, Maker make);

  Status WriteBlocks(std::span<const BlockRecord> records) override;
  Status ReadBlocks(std::span<const BlockId> ids, size_t payload_bytes,
                    std::span<std::byte* const> targets) override;
  Status DropExtent(uint64_t extent, uint32_t from) override;
  Result<std::vector<uint64_t>> Extents() override;
  Status WriteMeta(const MetaBatch& batch) override { return kept_.WriteMeta(batch); }
  Result<std::optional<std::string>> ReadMeta(std::string_view key) override {
    return kept_.ReadMeta(key);
  }
  Result<MetaEntries> ScanMeta(std::string_view prefix) override { return kept_.ScanMeta(prefix); }
  ColdStoreStats Stats() override;

 private:
  bool IsAliased(uint64_t extent) const { return extent == extent_ && blocks_ > 0; }
  /// Reads a block of the extent.
  Status ReadAlias(const BlockId& id, size_t payload_bytes, std::byte* target);

  const BlockGrid grid_;
  uint64_t extent_ = 0;
  std::atomic<uint32_t> blocks_ = 0;  // of each layer and head
  uint32_t distinct_ = 1;
  std::vector<std::byte> payloads_;  // [layers, heads, distinct, payload_bytes]
  std::vector<uint64_t> checksums_;  // of each, by the block that it was made for
  std::atomic<uint64_t> bytes_read_ = 0;
  MemoryColdStore kept_;
};

}  // namespace cairn
