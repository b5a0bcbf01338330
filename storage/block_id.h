// BlockId: the identity of one block, the unit of retrieval, transfer and checksum.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "base/hash.h"

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

struct BlockIdHash {
  size_t operator()(const BlockId& id) const { return Hash64(&id, sizeof id); }
};

/// `count` consecutive ordinals of one extent, from `first` on, all layers and heads.
struct ExtentRange {
  uint64_t extent = 0;
  uint32_t first = 0;
  uint32_t count = 0;

  bool operator==(const ExtentRange&) const = default;
};

}  // namespace cairn
