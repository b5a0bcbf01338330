// BlockId: the identity of one block, the unit of retrieval, transfer and checksum.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace cairn {

/// A block is the `ordinal`-th of an extent, for one layer and one head. Ids order by extent, then
/// ordinal, layer, head: the order of the records on disk. An extent is an append-only run of
/// blocks made by one writer run; its id is never used again.
struct BlockId {
  uint64_t extent = 0;
  uint32_t ordinal = 0;
  uint16_t layer = 0;
  uint16_t head = 0;

  auto operator<=>(const BlockId&) const = default;
};
static_assert(sizeof(BlockId) == 16);

/// "extent 7 block 12 layer 3 head 1", for messages.
std::string ToString(const BlockId& id);

/// For tables in memory; quicker than XXH3 of 16 bytes. One product mixes both halves: its high
/// bits depend on all bits of the id, and are folded onto the low ones.
struct BlockIdHash {
  size_t operator()(const BlockId& id) const {
    const uint64_t low = id.extent ^ 0x9e3779b97f4a7c15u;
    const uint64_t high =
        (uint64_t{id.ordinal} << 32 | uint32_t{id.layer} << 16 | id.head) ^ 0xd1b54a32d192ed03u;
    const auto product = static_cast<unsigned __int128>(low) * high;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
};

/// `count` consecutive ordinals of one extent, from `first` on, all layers and heads.
struct ExtentRange {
  uint64_t extent = 0;
  uint32_t first = 0;
  uint32_t count = 0;

  bool operator==(const ExtentRange&) const = default;
};

}  // namespace cairn
