// The inside of TieredStore: two tiers in memory over a ColdStore. Private to tiered_store.cc.
//
// Two locks. `mutex` guards tables, pools and counters, and is never held over I/O or copies.
// `flush_mutex` is held over the writing or dropping of blocks, one at a time; it is taken first.
// A block on its way into a tier is in its table as loading: others who want it wait for `loaded`
// and look again, so that each block is read once.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "storage/block_table.h"
#include "storage/device_copies.h"
#include "storage/executor.h"
#include "storage/slab_pool.h"
#include "storage/tiered_store.h"

namespace cairn {

/// A tier in memory: slots and what lies in them.
struct MemoryTier {
  MemoryTier(const char* tier_name, SlabPool slabs)
      : name(tier_name), pool(std::move(slabs)), table(pool.slots()) {}

  /// A free slot, made free by eviction if need be; kNoSlot if everything is held.
  uint32_t TakeSlot();
  uint32_t available() const { return pool.free_slots() + table.evictable(); }

  const char* name;
  SlabPool pool;
  BlockTable table;
};

struct TierCounters {
  uint64_t fetched_blocks = 0;
  uint64_t hit_blocks = 0;
  uint64_t bytes_in = 0;
  LatencyHistogram latency_ns;
};

struct TieredStore::Impl {
  struct SlottedBlock {
    BlockId id;
    uint32_t slot = kNoSlot;
  };
  /// Fills the slots of blocks that a fetch has claimed; called without the mutex.
  using Loader = FunctionRef<Status(std::span<const SlottedBlock>)>;

  Impl(const TieredStoreOptions& options_in, ColdStore& cold_in, SlabPool host_slabs,
       std::optional<SlabPool> compute_slabs, std::unique_ptr<DeviceCopies> copies_in,
       std::unique_ptr<Executor> executor_in, std::unique_ptr<Executor> ahead_in);

  Status Seal(const BlockId& id, std::span<const std::byte> payload);
  /// Extent 0: every dirty block.
  Status Flush(uint64_t extent);
  Status Discard(uint64_t extent, uint32_t from);
  /// Pins all of `ids` in the fastest tier; on an error none. slots.size() == ids.size().
  Status Fetch(std::span<const BlockId> ids, std::span<uint32_t> slots);
  Status FetchToHost(std::span<const BlockId> ids, std::span<uint32_t> slots);
  /// As Fetch if that takes neither copies nor I/O; else false and nothing is pinned.
  bool FetchResident(std::span<const BlockId> ids, std::span<uint32_t> slots);
  void Unpin(MemoryTier& tier, std::span<const uint32_t> slots);
  /// Posts the reading of what is in no memory, if there is something and the queue takes it.
  void StartReadAhead(std::span<const BlockId> ids);
  std::vector<TierReport> Report();
  StoreQueues Queues();
  void Locate(std::span<const BlockId> ids, std::span<StoreTier> tiers);
  uint64_t DirtyBytes(uint64_t extent);

  MemoryTier& top() { return compute ? *compute : host; }
  TierCounters& top_counters() { return compute ? compute_counters : host_counters; }

  /// Takes a host slot for a block to be sealed; kNoSlot if blocks must be flushed first.
  Result<uint32_t> BeginSeal(const BlockId& id);
  void FinishSeal(const BlockId& id, uint32_t slot);
  /// Makes what room there is to be made without evicting: waits for copies and writes dirty
  /// blocks.
  Status MakeRoom();
  /// Unpins host slots whose copies to a device have passed; waits for all of them if `wait`.
  Status ReleaseCopied(bool wait);

  Status PinAll(MemoryTier& tier, TierCounters& counters, std::span<const BlockId> ids,
                std::span<uint32_t> slots, Loader load);
  bool PinPresent(MemoryTier& tier, std::span<const BlockId> ids, std::span<uint32_t> slots,
                  std::vector<SlottedBlock>& absent);
  Status Claim(MemoryTier& tier, std::span<SlottedBlock> blocks);
  void FinishLoad(MemoryTier& tier, std::span<const SlottedBlock> blocks, bool good);
  void UnpinIn(MemoryTier& tier, std::span<const uint32_t> slots);

  /// `pin`, again with room made in the host tier if it was short of that.
  Status WithHostRoom(FunctionRef<Status()> pin);
  /// Whether the fastest tier has slots for all of `ids`, beside what is pinned.
  bool HasRoom(std::span<const BlockId> ids);
  Status PinInTop(std::span<const BlockId> ids, std::span<uint32_t> slots);
  Status LoadFromCold(std::span<const SlottedBlock> blocks);
  Status LoadFromHost(std::span<const SlottedBlock> blocks);
  /// Into their slots; takes the pins of `host_slots`, unless it fails.
  Status CopyUp(std::span<const SlottedBlock> blocks, std::vector<uint32_t>& host_slots);
  void ReadAhead(std::span<const BlockId> ids);
  Status DiscardNow(uint64_t extent, uint32_t from);
  Status CheckUnpinned(uint64_t extent, uint32_t from);
  void Forget(MemoryTier& tier, uint64_t extent, uint32_t from);

  const TieredStoreOptions options;
  ColdStore& cold;
  std::mutex flush_mutex;
  std::mutex mutex;
  std::condition_variable loaded;
  MemoryTier host;
  std::optional<MemoryTier> compute;
  std::unique_ptr<DeviceCopies> copies;  // null: the compute tier is the host's memory
  std::vector<SlottedBlock> dirty;
  const size_t dirty_limit;
  PinHolders holders;
  TierCounters host_counters;
  TierCounters compute_counters;
  TierCounters cold_counters;
  std::atomic<uint64_t> waited_ns = 0;
  uint64_t ahead_blocks = 0;  // that were read ahead
  uint64_t verify_failures = 0;
  size_t reading_ahead = 0;  // blocks being read ahead now; `loaded` tells when they are there
  bool discarding = false;   // nothing may be read ahead
  std::unique_ptr<Executor> executor;
  std::unique_ptr<Executor> ahead;  // null: nothing is read ahead
};

}  // namespace cairn
