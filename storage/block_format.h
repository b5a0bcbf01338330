// The bytes of a block record and of a block key, as they reach the disk (docs/format.md).
//
//   record = payload | u64 checksum | u32 payload bytes | u32 magic      (little-endian)
//   key    = u64 extent | u32 ordinal | u16 layer | u16 head             (big-endian)
//
// The checksum is XXH3-64 of the payload, seeded by XXH3-64 of the key: a record read under another
// block's key does not verify. Catalog values (catalog_format.h) end in the same trailer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/error.h"
#include "storage/block_id.h"

namespace cairn {

inline constexpr size_t kTrailerBytes = 16;
inline constexpr size_t kBlockKeyBytes = 16;
inline constexpr uint32_t kBlockMagic = 0x314b4243;  ///< "CBK1"; the digit is the version

using BlockKey = std::array<char, kBlockKeyBytes>;

constexpr size_t RecordBytes(size_t payload_bytes) { return payload_bytes + kTrailerBytes; }

/// Keys compare as their ids do.
BlockKey EncodeBlockKey(const BlockId& id);
/// kCorruption if `key` is not 16 bytes.
Result<BlockId> DecodeBlockKey(std::string_view key);

/// Writes the trailer into the last 16 bytes of `record`, whose other bytes are the payload.
void SealRecord(const BlockId& id, std::span<std::byte> record);
/// kCorruption naming the block and what is wrong unless `record` is what SealRecord left.
Status VerifyRecord(const BlockId& id, std::span<const std::byte> record);

/// The trailer itself, for anything sealed under a key.
void WriteTrailer(std::string_view key, uint32_t magic, std::span<std::byte> record);
/// Null if the trailer fits key, magic and bytes; otherwise what is wrong, as a phrase.
const char* CheckTrailer(std::string_view key, uint32_t magic, std::span<const std::byte> record);

}  // namespace cairn
