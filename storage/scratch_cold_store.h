// ScratchColdStore: another store with changes on top that are in memory alone and go with it. The
// store below is only read, so that a session in it can be continued for a while and be as it was.
//
// Grows with what is written, up to a limit. Thread-safe, as the store below is. An extent belongs
// to one of the two: blocks can be written to and dropped from those alone that the store below
// does not have (kInvalidArgument).
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "storage/memory_cold_store.h"

namespace cairn {

class ScratchColdStore final : public ColdStore {
 public:
  /// `below` must not change from now on: a store opened to be read, or one that nobody else has.
  /// `limit_bytes` of payloads on top at most; 0: no limit.
  static Result<std::unique_ptr<ScratchColdStore>> Open(std::unique_ptr<ColdStore> below,
                                                        uint64_t limit_bytes = 0);

  Status WriteBlocks(std::span<const BlockRecord> records) override;
  Status ReadBlocks(std::span<const BlockId> ids, size_t payload_bytes,
                    std::span<std::byte* const> targets) override;
  Status DropExtent(uint64_t extent, uint32_t from) override;
  Result<std::vector<uint64_t>> Extents() override;
  Status WriteMeta(const MetaBatch& batch) override;
  Result<std::optional<std::string>> ReadMeta(std::string_view key) override;
  Result<MetaEntries> ScanMeta(std::string_view prefix) override;
  /// Of the store below, and of what was read and written here.
  ColdStoreStats Stats() override;

 private:
  ScratchColdStore(std::unique_ptr<ColdStore> below, std::set<uint64_t> extents,
                   uint64_t limit_bytes)
      : below_(std::move(below)), extents_below_(std::move(extents)), top_(limit_bytes) {}
  bool IsBelow(uint64_t extent) const { return extents_below_.contains(extent); }

  const std::unique_ptr<ColdStore> below_;
  const std::set<uint64_t> extents_below_;
  MemoryColdStore top_;
  std::mutex meta_mutex_;                       // a change to metadata is one to both of these
  std::set<std::string, std::less<>> deleted_;  // keys of the store below
};

}  // namespace cairn
