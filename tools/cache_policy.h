// CachePolicy: what a memory of so many slots would hold while a trace passes. Each policy decides
// what goes when a block needs a slot; for measurements only. The one that the tiers use is
// BlockTable itself.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "storage/block_id.h"

namespace cairn {

/// Blocks are numbers from 0 on.
class CachePolicy {
 public:
  virtual ~CachePolicy() = default;
  /// All of `blocks`, distinct and no more than there are slots, are wanted at once: none of them
  /// goes for another. Returns how many were there.
  virtual uint32_t Access(std::span<const uint32_t> blocks) = 0;
  /// The block is made and put there.
  virtual void Seal(uint32_t block) { Access({&block, 1}); }
  /// The block is gone for good, if it was there.
  virtual void Drop(uint32_t block) = 0;
};

/// BlockTable, driven as a tier drives it. `ids` has the id of each block and must outlive it.
std::unique_ptr<CachePolicy> MakeTablePolicy(uint32_t slots, std::span<const BlockId> ids);
/// The block not used for longest goes.
std::unique_ptr<CachePolicy> MakeLru(uint32_t slots, uint32_t blocks);
/// Blocks stand in a circle; the hand takes the first that was not used since it last came by.
std::unique_ptr<CachePolicy> MakeClock(uint32_t slots, uint32_t blocks);
/// S3-FIFO as published (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache
/// eviction", SOSP 2023): a small queue of a tenth, a main queue, as many ghosts as that has slots.
std::unique_ptr<CachePolicy> MakeS3Fifo(uint32_t slots, uint32_t blocks);

/// What the optimum must know beforehand: an access, or blocks dropped.
struct CacheEvent {
  bool drops = false;
  std::span<const uint32_t> blocks{};
};
/// Belady's MIN: the block wanted again last goes. It must then be given just these events.
std::unique_ptr<CachePolicy> MakeOptimum(uint32_t slots, uint32_t blocks,
                                         std::span<const CacheEvent> events);

}  // namespace cairn
