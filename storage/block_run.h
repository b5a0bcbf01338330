// BlockRun: what one write of an extent has put into a segment file, and where. The catalog of
// payloads has two entries for each run (docs/format.md):
//
//   r/ first block    where its payloads lie: read when a store is opened
//   c/ first block    one checksum for each block: read when a block of the run is first wanted
//
// The blocks of a run follow each other in a grid of layers and heads: by ordinal, layer and head.
// It may begin and end in the middle of an ordinal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "storage/block_id.h"
#include "storage/cold_store.h"

namespace cairn {

/// Runs begin at whole pages, so that payloads of whole pages can be read as they lie.
inline constexpr uint64_t kSegmentPageBytes = 4096;
constexpr uint64_t WholePages(uint64_t bytes) {
  return (bytes + kSegmentPageBytes - 1) / kSegmentPageBytes * kSegmentPageBytes;
}

inline constexpr std::string_view kRunPrefix = "r/";
inline constexpr std::string_view kChecksumsPrefix = "c/";

struct BlockRun {
  BlockId first{};
  uint64_t segment = 0;        ///< number of its file
  uint64_t offset = 0;         ///< in the file; whole pages
  uint32_t blocks = 0;         ///< of one layer and head
  uint32_t payload_bytes = 0;  ///< of one block
  uint32_t layers = 0;
  uint32_t heads = 0;

  uint64_t bytes() const { return uint64_t{blocks} * payload_bytes; }
  /// Behind its last page.
  uint64_t end() const { return offset + WholePages(bytes()); }
  /// A block's number in the whole grid of its extent.
  uint64_t Row(const BlockId& id) const;
  /// How many blocks of the grid lie between the first and `id`, which is not before it.
  uint64_t Distance(const BlockId& id) const;
  /// The block at a distance from the first.
  BlockId At(uint64_t distance) const;
  /// The distance of a block that it has.
  std::optional<uint32_t> IndexOf(const BlockId& id) const;
  bool operator==(const BlockRun&) const = default;
};

/// Parts sorted records into runs of at most `most_bytes` (one block at least), each of records
/// that follow each other here. Their places are not known yet.
std::vector<BlockRun> RunsOf(std::span<const BlockRecord> records, uint64_t most_bytes);

std::string RunKey(const BlockId& first);
std::string ChecksumsKey(const BlockId& first);
/// The first block in either key; kCorruption if it is none.
Result<BlockId> FirstInRunKey(std::string_view key);

/// Values, with the trailer of catalog entries. Decoders give kCorruption naming the entry.
std::string EncodeRun(const BlockRun& run);
Result<BlockRun> DecodeRun(std::string_view key, std::string value);
std::string EncodeChecksums(const BlockId& first, std::span<const uint64_t> checksums);
/// At least `blocks` of them.
Result<std::vector<uint64_t>> DecodeChecksums(std::string_view key, std::string value,
                                              uint32_t blocks);

}  // namespace cairn
