// ColdStore: the bottom tier. Keeps payloads of blocks and small metadata, durably.
//
// Implementations: RocksColdStore (rocks_cold_store.h), MemoryColdStore (memory_cold_store.h) and,
// for tests, FaultyColdStore (faulty_cold_store.h). One contract suite runs over all. All methods
// may be called from several threads at once. What is read was checked against a checksum over
// payload and identity (block_format.h).
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

/// One block to be written; `payload` is owned by the caller until the call returns.
struct BlockRecord {
  BlockId id;
  std::span<const std::byte> payload;
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
  uint64_t payload_bytes = 0;  ///< payloads in it
  uint64_t bytes_written = 0;  ///< payload bytes written since open
  uint64_t bytes_read = 0;     ///< payload bytes read since open
  uint64_t identity = 0;       ///< made with the store, of no other one; 0: it has none
  uint64_t data_files = 0;     ///< files that payloads and metadata are kept in, beside logs
};

class ColdStore {
 public:
  virtual ~ColdStore() = default;

  /// Writes records sorted strictly ascending by id, all above every id written to their extent
  /// before (kInvalidArgument). On success they are readable; their bytes survive power loss, and
  /// that they are there does with the next WriteMeta that succeeds. On an error none of them need
  /// be readable and nothing else has changed. kOutOfSpace at the disk limit or a full disk.
  virtual Status WriteBlocks(std::span<const BlockRecord> records) = 0;

  /// Reads ids[i] into targets[i] (`payload_bytes` each), as one batch, any order, duplicates
  /// allowed. kNotFound or kCorruption name the first block that is absent, of another size or not
  /// what was written; nothing can be said of the targets then.
  virtual Status ReadBlocks(std::span<const BlockId> ids, size_t payload_bytes,
                            std::span<std::byte* const> targets) = 0;

  /// Forgets the extent's blocks with ordinal ≥ `from` and frees their space.
  virtual Status DropExtent(uint64_t extent, uint32_t from) = 0;

  /// Every extent that has blocks, ascending.
  virtual Result<std::vector<uint64_t>> Extents() = 0;

  /// Applies `batch` atomically, an empty one too; on success it survives power loss.
  virtual Status WriteMeta(const MetaBatch& batch) = 0;
  virtual Result<std::optional<std::string>> ReadMeta(std::string_view key) = 0;
  /// Entries whose key begins with `prefix`, ascending by key.
  virtual Result<MetaEntries> ScanMeta(std::string_view prefix) = 0;

  virtual ColdStoreStats Stats() = 0;
};

/// What every implementation says in the same words.
Status CheckWriteOrder(std::span<const BlockRecord> records);
Error WrittenBefore(const BlockId& id);
Error BlockAbsent(const BlockId& id);
Error BlockOfOtherSize(const BlockId& id, size_t found_bytes, size_t payload_bytes);

}  // namespace cairn
