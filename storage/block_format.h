// Keys and checksums of blocks, as they reach the disk (docs/format.md).
//
//   key    = u64 extent | u32 ordinal | u16 layer | u16 head             (big-endian)
//   sealed = bytes | u64 checksum | u32 number of bytes | u32 magic      (little-endian)
//
// The checksum of a block is XXH3-64 of its payload, seeded by XXH3-64 of its key: a payload read
// under another block's key does not verify. Catalog values (catalog_format.h) are sealed under
// their keys in the same way, and so were block records in stores of format 1.
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
inline constexpr uint32_t kBlockMagic = 0x314b4243;  ///< "CBK1", of records of format 1

using BlockKey = std::array<char, kBlockKeyBytes>;

/// Keys compare as their ids do.
BlockKey EncodeBlockKey(const BlockId& id);
/// kCorruption if `key` is not 16 bytes.
Result<BlockId> DecodeBlockKey(std::string_view key);

uint64_t PayloadChecksum(const BlockId& id, std::span<const std::byte> payload);
/// kCorruption: the block is damaged, as `fault` says.
Error BlockDamaged(const BlockId& id, std::string_view fault);
/// Of a store of format 1: kCorruption naming the block unless its trailer fits.
Status VerifyRecord(const BlockId& id, std::span<const std::byte> record);

/// The trailer itself, for anything sealed under a key.
void WriteTrailer(std::string_view key, uint32_t magic, std::span<std::byte> record);
/// Null if the trailer fits key, magic and bytes; otherwise what is wrong, as a phrase.
const char* CheckTrailer(std::string_view key, uint32_t magic, std::span<const std::byte> record);

}  // namespace cairn
