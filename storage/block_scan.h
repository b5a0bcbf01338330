// BlockScan: reads a session's blocks in order and checks them, some megabytes at a time.
//
// Past the tiers and for whole passes only: hashing, verifying, copying. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "storage/block_id.h"
#include "storage/cold_store.h"

namespace cairn {

/// Which blocks a session has of each ordinal: one for each layer and head, all of one size.
struct BlockGrid {
  uint16_t layers = 0;
  uint16_t heads = 0;
  size_t payload_bytes = 0;

  size_t blocks() const { return size_t{layers} * heads; }
  /// Payload bytes of one ordinal.
  uint64_t bytes() const { return uint64_t{blocks()} * payload_bytes; }
  bool operator==(const BlockGrid&) const = default;
};

/// Whether something failed for a reason that may pass (rights, open files, memory, the disk): what
/// could not be read so may be whole, and is neither damaged nor absent.
inline bool IsUnreadable(Errc code) { return code != Errc::kCorruption && code != Errc::kNotFound; }

struct ScannedBlock {
  BlockId id;
  uint64_t ordinal = 0;                  ///< counted from the first block of the ranges
  std::span<const std::byte> payload{};  ///< until the next call of Next
  Status status = Ok();                  ///< absent, unreadable or damaged
};

class BlockScan {
 public:
  /// `cold` must outlive it.
  BlockScan(ColdStore& cold, const BlockGrid& grid, std::vector<ExtentRange> ranges);

  /// Reads on: blocks of whole ordinals, by ordinal, layer and head. Empty at the end.
  std::span<const ScannedBlock> Next();

  /// Ordinals of all ranges together.
  uint64_t total() const { return total_; }
  /// Ordinals read so far.
  uint64_t done() const { return done_; }

 private:
  void Read();

  ColdStore& cold_;
  const BlockGrid grid_;
  const std::vector<ExtentRange> ranges_;
  uint64_t total_ = 0;
  uint64_t done_ = 0;
  size_t range_ = 0;     // being read
  uint32_t inside_ = 0;  // ordinals of it that were read
  std::vector<std::byte> payloads_;
  std::vector<ScannedBlock> blocks_;
};

}  // namespace cairn
