// The ladder's cases over our own tiers: fetches that hit one tier or a mix of them, reads from the
// page cache, and commits.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/device.h"
#include "bench/ladder_store.h"
#include "bench/ladder_turn.h"

namespace cairn {

/// Where the blocks of a fetch are to be found, in percent: compute slab, host memory, SSD.
struct HitMix {
  int compute = 0;
  int host = 0;
  int ssd = 100;

  std::string Name() const;  ///< "50/25/25"
};

/// Fetches of key.batch blocks by TieredStore; `store` must outlive the case.
/// With a compute slab, hits of each kind in such shares.
std::unique_ptr<LadderCase> MakeMixedFetch(LadderKey key, LadderStore& store, const HitMix& mix);
/// The same with a compute tier on a device, which must outlive the case: hits there, or in pinned
/// memory, until they are there.
std::unique_ptr<LadderCase> MakeDeviceFetch(LadderKey key, LadderStore& store, const HitMix& mix,
                                            Device& device);
/// With a compute slab of 5 % of the blocks and host memory for 20 %; blocks are drawn as Zipf's
/// law with exponent 0.99 has it.
std::unique_ptr<LadderCase> MakeZipfFetch(LadderKey key, LadderStore& store);
/// Without a compute slab: all in host memory, and found there in place.
std::unique_ptr<LadderCase> MakeHostFetch(LadderKey key, LadderStore& store);
/// Without a compute slab: none in memory.
std::unique_ptr<LadderCase> MakeSsdFetch(LadderKey key, LadderStore& store);

/// `pread` of blocks that the page cache holds. `file` must outlive the case.
std::unique_ptr<LadderCase> MakePageCacheFetch(LadderKey key, const LadderFile& file);

/// key.batch blocks sealed, flushed and committed, in a store of its own in `directory`, which is
/// made for it.
std::unique_ptr<LadderCase> MakeCommit(LadderKey key, std::string directory);

/// Ranks 0 .. count-1 as Zipf's law draws them: rank r with a weight of (r + 1)^-exponent.
std::vector<uint32_t> ZipfDraws(uint32_t count, double exponent, size_t draws, uint64_t seed);

}  // namespace cairn
