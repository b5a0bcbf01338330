#include "bench/aliased_cold_store.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "storage/block_format.h"

namespace cairn {

void AliasedColdStore::Alias(uint64_t extent, uint32_t blocks, uint32_t distinct, Maker make) {
  CAIRN_CHECK(blocks_ == 0 && blocks > 0 && distinct > 0);
  distinct_ = std::min(distinct, blocks);
  payloads_.resize(grid_.bytes() * distinct_);
  checksums_.resize(grid_.blocks() * distinct_);
  ParallelFor(static_cast<int64_t>(grid_.blocks()), [&](int64_t part) {
    BlockId id = {extent, 0, static_cast<uint16_t>(part / grid_.heads),
                  static_cast<uint16_t>(part % grid_.heads)};
    for (; id.ordinal < distinct_; ++id.ordinal) {
      const size_t at = static_cast<size_t>(part) * distinct_ + id.ordinal;
      std::byte* const payload = payloads_.data() + at * grid_.payload_bytes;
      make(id, payload);
      checksums_[at] = PayloadChecksum(id, {payload, grid_.payload_bytes});
    }
  });
  extent_ = extent;
  blocks_ = blocks;
}

Status AliasedColdStore::WriteBlocks(std::span<const BlockRecord> records) {
  for (const BlockRecord& record : records) {
    if (IsAliased(record.id.extent)) return WrittenBefore(record.id);
  }
  return kept_.WriteBlocks(records);
}

Status AliasedColdStore::ReadAlias(const BlockId& id, size_t payload_bytes, std::byte* target) {
  if (id.ordinal >= blocks_ || id.layer >= grid_.layers || id.head >= grid_.heads) {
    return BlockAbsent(id);
  }
  if (payload_bytes != grid_.payload_bytes) {
    return BlockOfOtherSize(id, grid_.payload_bytes, payload_bytes);
  }
  BlockId made_for = id;
  made_for.ordinal %= distinct_;
  const size_t part = size_t{id.layer} * grid_.heads + id.head;
  const size_t at = part * distinct_ + made_for.ordinal;
  std::memcpy(target, payloads_.data() + at * payload_bytes, payload_bytes);
  if (PayloadChecksum(made_for, {target, payload_bytes}) != checksums_[at]) {
    return BlockDamaged(id, "its checksum does not fit");
  }
  bytes_read_ += payload_bytes;
  return Ok();
}

Status AliasedColdStore::ReadBlocks(std::span<const BlockId> ids, size_t payload_bytes,
                                    std::span<std::byte* const> targets) {
  for (size_t i = 0; i < ids.size(); ++i) {
    CAIRN_TRY(IsAliased(ids[i].extent)
                  ? ReadAlias(ids[i], payload_bytes, targets[i])
                  : kept_.ReadBlocks(ids.subspan(i, 1), payload_bytes, targets.subspan(i, 1)));
  }
  return Ok();
}

Status AliasedColdStore::DropExtent(uint64_t extent, uint32_t from) {
  if (!IsAliased(extent)) return kept_.DropExtent(extent, from);
  blocks_ = std::min<uint32_t>(blocks_, from);
  return Ok();
}

Result<std::vector<uint64_t>> AliasedColdStore::Extents() {
  CAIRN_TRY(std::vector<uint64_t> extents, kept_.Extents());
  if (blocks_ > 0) extents.insert(std::ranges::lower_bound(extents, extent_), extent_);
  return extents;
}

ColdStoreStats AliasedColdStore::Stats() {
  ColdStoreStats stats = kept_.Stats();
  stats.payload_bytes += uint64_t{blocks_} * grid_.bytes();
  stats.bytes_read += bytes_read_;
  return stats;
}

}  // namespace cairn
