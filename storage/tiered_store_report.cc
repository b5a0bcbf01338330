// What TieredStore says of itself.
#include <algorithm>

#include "base/check.h"
#include "storage/tiered_store_impl.h"

namespace cairn {

std::vector<TierReport> TieredStore::Impl::Report() {
  const ColdStoreStats on_disk = cold.Stats();
  std::lock_guard lock(mutex);
  const auto report = [](const char* name, const TierCounters& counters, uint64_t capacity_bytes,
                         uint64_t held_bytes) {
    return TierReport{.name = name,
                      .capacity_bytes = capacity_bytes,
                      .held_bytes = held_bytes,
                      .fetched_blocks = counters.fetched_blocks,
                      .hit_blocks = counters.hit_blocks,
                      .bytes_in = counters.bytes_in,
                      .ahead_blocks = 0,
                      .verify_failures = 0,
                      .waited_ns = 0,
                      .latency_ns = counters.latency_ns};
  };
  const auto in_memory = [&](const MemoryTier& tier, const TierCounters& counters) {
    return report(tier.name, counters, tier.pool.slots() * uint64_t{options.payload_bytes},
                  tier.table.size() * uint64_t{options.payload_bytes});
  };
  std::vector<TierReport> reports;
  if (compute) reports.push_back(in_memory(*compute, compute_counters));
  reports.push_back(in_memory(host, host_counters));
  reports.back().ahead_blocks = ahead_blocks;
  reports.front().waited_ns = waited_ns;
  reports.push_back(report("cold", cold_counters, 0, on_disk.payload_bytes));
  reports.back().verify_failures = verify_failures;
  return reports;
}

StoreQueues TieredStore::Impl::Queues() {
  std::lock_guard lock(mutex);
  return {.fetches = executor->waiting(),
          .hints = ahead == nullptr ? 0 : ahead->waiting(),
          .unwritten_blocks = dirty.size()};
}

void TieredStore::Impl::Locate(std::span<const BlockId> ids, std::span<StoreTier> tiers) {
  CAIRN_CHECK(ids.size() == tiers.size());
  std::lock_guard lock(mutex);
  for (size_t i = 0; i < ids.size(); ++i) {
    const bool computed = compute && compute->table.Find(ids[i]) != kNoSlot;
    const bool hosted = computed || host.table.Find(ids[i]) != kNoSlot;
    tiers[i] = computed ? StoreTier::kCompute : hosted ? StoreTier::kHost : StoreTier::kCold;
  }
}

uint64_t TieredStore::Impl::DirtyBytes(uint64_t extent) {
  std::lock_guard lock(mutex);
  const auto count = std::ranges::count_if(dirty, [extent](const SlottedBlock& block) {
    return extent == 0 || block.id.extent == extent;
  });
  return static_cast<uint64_t>(count) * options.payload_bytes;
}

}  // namespace cairn
