// ColdStore: the bottom tier. Keeps block records of fixed size and small metadata, durably.
//
// Implementations: RocksColdStore (rocks_cold_store.h), MemoryColdStore (memory_cold_store.h) and,
// for tests, FaultyColdStore (faulty_cold_store.h). One contract suite runs over all. All methods
// may be called from several threads at once. Callers seal records and check them (block_format.h)
// unless a store says that it has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "storage/block_id.h"

namespace cairn {

/// One record to be written; `bytes` is owned by the caller until the call returns.
struct BlockRecord {
  BlockId id;
  std::span<const std::byte> bytes;
};

/// A change to the metadata, applied wholly or not at all: the deletes first, then the puts.
struct MetaBatch {
  std::vector<std::pair<std::string, std::string>> puts{};  ///< key, value
  std::vector<std::string> deletes{};                       ///< keys
  std::vector<std::string> delete_prefixes{};               ///< every key that begins so
};

using MetaEntries = std::vector<std::pair<std::string, std::string>>;

struct ColdStoreStats {
  uint64_t disk_bytes = 0;     ///< all that the store occupies
  uint64_t payload_bytes = 0;  ///< the part of it that holds block records
  uint64_t bytes_written = 0;  ///< record bytes written since open
  uint64_t bytes_read = 0;     ///< record bytes read since open
  uint64_t table_files = 0;    ///< files that records and metadata are kept in, beside logs
};

class ColdStore {
 public:
  virtual ~ColdStore() = default;

  /// Writes records sorted strictly ascending by id, all above every id written to their extent
  /// before. On success they are readable and survive power loss; on an error none of them need
  /// be readable and nothing else has changed. kOutOfSpace at the disk limit or a full disk.
  virtual Status WriteBlocks(std::span<const BlockRecord> records) = 0;

  /// Reads ids[i] into targets[i] (`record_bytes` each), as one batch, any order, duplicates
  /// allowed. kNotFound or kCorruption name the first block that is absent or of another size.
  virtual Status ReadBlocks(std::span<const BlockId> ids, size_t record_bytes,
                            std::span<std::byte* const> targets) = 0;

  /// Whether ReadBlocks has checked each record that it gives, and calls a bad one kCorruption.
  virtual bool VerifiesReads() const { return false; }

  /// Forgets the extent's records with ordinal ≥ `from` and frees their space.
  virtual Status DropExtent(uint64_t extent, uint32_t from) = 0;

  /// Every extent that has records, ascending.
  virtual Result<std::vector<uint64_t>> Extents() = 0;

  /// Applies `batch` atomically; on success it survives power loss.
  virtual Status WriteMeta(const MetaBatch& batch) = 0;
  virtual Result<std::optional<std::string>> ReadMeta(std::string_view key) = 0;
  /// Entries whose key begins with `prefix`, ascending by key.
  virtual Result<MetaEntries> ScanMeta(std::string_view prefix) = 0;

  virtual ColdStoreStats Stats() = 0;
};

/// What every implementation says in the same words.
Status CheckWriteOrder(std::span<const BlockRecord> records);
Error BlockAbsent(const BlockId& id);
Error BlockOfOtherSize(const BlockId& id, size_t found_bytes, size_t record_bytes);

}  // namespace cairn
