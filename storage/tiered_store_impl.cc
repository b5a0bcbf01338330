#include "storage/tiered_store_impl.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace cairn {
namespace {

class Stopwatch {
 public:
  uint64_t Nanoseconds() const {
    const auto passed = std::chrono::steady_clock::now() - start_;
    return static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count());
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

bool IsFull(const Status& status) { return !status && status.error().code == Errc::kResource; }

}  // namespace

uint32_t MemoryTier::TakeSlot() {
  const uint32_t slot = pool.Take();
  return slot != kNoSlot ? slot : table.Evict();
}

TieredStore::Impl::Impl(const TieredStoreOptions& options_in, ColdStore& cold_in,
                        SlabPool host_slabs, std::optional<SlabPool> compute_slabs,
                        std::unique_ptr<DeviceCopies> copies_in,
                        std::unique_ptr<Executor> executor_in, std::unique_ptr<Executor> ahead_in)
    : options(options_in),
      cold(cold_in),
      host("host", std::move(host_slabs)),
      copies(std::move(copies_in)),
      dirty_limit(std::max<size_t>(1, host.pool.slots() / 2)),
      executor(std::move(executor_in)),
      ahead(std::move(ahead_in)) {
  if (compute_slabs) compute.emplace("compute", std::move(*compute_slabs));
  dirty.reserve(dirty_limit);
}

// ---- Sealing, flushing, discarding

Result<uint32_t> TieredStore::Impl::BeginSeal(const BlockId& id) {
  std::unique_lock lock(mutex);
  uint32_t slot = host.table.Find(id);
  // A hint of before a Discard may look for this very block; it will not find it.
  while (slot != kNoSlot && host.table.loading(slot) && reading_ahead > 0) {
    loaded.wait(lock);
    slot = host.table.Find(id);
  }
  if (slot != kNoSlot) {
    return Fail(Errc::kInvalidArgument, "{} was sealed before; discard it first", ToString(id));
  }
  if (dirty.size() >= dirty_limit) return kNoSlot;
  while ((slot = host.TakeSlot()) == kNoSlot && dirty.empty()) {
    if (reading_ahead == 0) {
      return Fail(Errc::kResource,
                  "all {} blocks of the host tier are pinned; raise the memory budget",
                  host.pool.slots());
    }
    loaded.wait(lock);
  }
  if (slot == kNoSlot) return slot;
  host.table.Insert(id, slot);
  host.table.SetLoading(slot, true);
  return slot;
}

void TieredStore::Impl::FinishSeal(const BlockId& id, uint32_t slot) {
  {
    std::lock_guard lock(mutex);
    host.table.SetLoading(slot, false);
    host.table.SetDirty(slot, true);
    dirty.push_back({id, slot});
    host_counters.bytes_in += options.payload_bytes;
  }
  loaded.notify_all();
}

Status TieredStore::Impl::Seal(const BlockId& id, std::span<const std::byte> payload) {
  if (payload.size() != options.payload_bytes) {
    return Fail(Errc::kInvalidArgument, "{} has {} bytes; this store's blocks have {}",
                ToString(id), payload.size(), options.payload_bytes);
  }
  CAIRN_TRY(ReleaseCopied(false));
  CAIRN_TRY(uint32_t slot, BeginSeal(id));
  while (slot == kNoSlot) {
    CAIRN_TRY(MakeRoom());
    CAIRN_TRY(slot, BeginSeal(id));
  }
  std::memcpy(host.pool.At(slot), payload.data(), payload.size());
  FinishSeal(id, slot);
  return Ok();
}

Status TieredStore::Impl::MakeRoom() {
  CAIRN_TRY(ReleaseCopied(true));
  return DirtyBytes(0) == 0 ? Ok() : Flush(0);
}

Status TieredStore::Impl::ReleaseCopied(bool wait) {
  if (copies == nullptr) return Ok();
  CAIRN_TRY(const std::vector<uint32_t> slots, wait ? copies->Finish() : copies->Passed());
  if (!slots.empty()) Unpin(host, slots);
  return Ok();
}

Status TieredStore::Impl::Flush(uint64_t extent) {
  std::lock_guard flushing(flush_mutex);
  std::vector<SlottedBlock> batch;
  {
    std::lock_guard lock(mutex);
    std::ranges::copy_if(dirty, std::back_inserter(batch), [&](const SlottedBlock& block) {
      return extent == 0 || block.id.extent == extent;
    });
  }
  if (batch.empty()) return Ok();
  std::ranges::sort(batch, {}, &SlottedBlock::id);
  std::vector<BlockRecord> records;
  records.reserve(batch.size());
  for (const SlottedBlock& block : batch) {
    records.push_back({block.id, std::span(host.pool.At(block.slot), options.payload_bytes)});
  }
  CAIRN_TRY(cold.WriteBlocks(records));
  std::lock_guard lock(mutex);
  for (const SlottedBlock& block : batch) host.table.SetDirty(block.slot, false);
  std::erase_if(dirty, [&](const SlottedBlock& block) { return !host.table.dirty(block.slot); });
  cold_counters.bytes_in += batch.size() * options.payload_bytes;
  return Ok();
}

Status TieredStore::Impl::CheckUnpinned(uint64_t extent, uint32_t from) {
  const MemoryTier* tiers[] = {&host, compute ? &*compute : nullptr};
  for (const MemoryTier* tier : tiers) {
    for (uint32_t slot = 0; tier != nullptr && slot < tier->table.slots(); ++slot) {
      const BlockId& id = tier->table.id(slot);
      if (!tier->table.occupied(slot) || id.extent != extent || id.ordinal < from) continue;
      if (tier->table.pins(slot) == 0 && !tier->table.loading(slot)) continue;
      return Fail(Errc::kBusy, "{} cannot be discarded while it is in use", ToString(id));
    }
  }
  return Ok();
}

void TieredStore::Impl::Forget(MemoryTier& tier, uint64_t extent, uint32_t from) {
  for (uint32_t slot = 0; slot < tier.table.slots(); ++slot) {
    const BlockId& id = tier.table.id(slot);
    if (!tier.table.occupied(slot) || id.extent != extent || id.ordinal < from) continue;
    tier.table.SetDirty(slot, false);
    tier.table.Erase(slot);
    tier.pool.Give(slot);
  }
}

Status TieredStore::Impl::Discard(uint64_t extent, uint32_t from) {
  std::lock_guard flushing(flush_mutex);
  {
    std::unique_lock lock(mutex);
    discarding = true;
    loaded.wait(lock, [this] { return reading_ahead == 0; });
  }
  const Status status = DiscardNow(extent, from);
  std::lock_guard lock(mutex);
  discarding = false;
  return status;
}

Status TieredStore::Impl::DiscardNow(uint64_t extent, uint32_t from) {
  CAIRN_TRY(ReleaseCopied(true));
  {
    std::lock_guard lock(mutex);
    CAIRN_TRY(CheckUnpinned(extent, from));
  }
  CAIRN_TRY(cold.DropExtent(extent, from));
  std::lock_guard lock(mutex);
  CAIRN_TRY(CheckUnpinned(extent, from));
  std::erase_if(dirty, [&](const SlottedBlock& block) {
    return block.id.extent == extent && block.id.ordinal >= from;
  });
  Forget(host, extent, from);
  if (compute) Forget(*compute, extent, from);
  return Ok();
}

// ---- Fetching

bool TieredStore::Impl::FetchResident(std::span<const BlockId> ids, std::span<uint32_t> slots) {
  const Stopwatch watch;
  std::lock_guard lock(mutex);
  MemoryTier& tier = top();
  tier.table.FindAll(ids, slots);
  for (const uint32_t slot : slots) {
    if (slot == kNoSlot || tier.table.loading(slot)) {
      std::ranges::fill(slots, kNoSlot);
      return false;
    }
  }
  if (!ids.empty()) tier.table.BeginAccess(ids.front().layer);
  for (const uint32_t slot : slots) {
    tier.table.Pin(slot);
    tier.table.Touch(slot);
  }
  TierCounters& counters = top_counters();
  counters.fetched_blocks += ids.size();
  counters.hit_blocks += ids.size();
  counters.latency_ns.Record(watch.Nanoseconds());
  return true;
}

bool TieredStore::Impl::HasRoom(std::span<const BlockId> ids) {
  std::vector<BlockId> once(ids.begin(), ids.end());
  std::ranges::sort(once);
  once.erase(std::unique(once.begin(), once.end()), once.end());
  std::vector<uint32_t> slots(once.size());
  std::lock_guard lock(mutex);
  const BlockTable& table = top().table;
  table.FindAll(once, slots);
  const auto taken = std::ranges::count_if(
      slots, [&](uint32_t slot) { return slot != kNoSlot && table.pins(slot) > 0; });
  return std::ssize(slots) - taken <= int64_t{top().available()};
}

Status TieredStore::Impl::Fetch(std::span<const BlockId> ids, std::span<uint32_t> slots) {
  if (FetchResident(ids, slots)) return Ok();
  Status status = PinInTop(ids, slots);
  while (IsFull(status) && !HasRoom(ids) && holders.GiveBack()) status = PinInTop(ids, slots);
  if (!IsFull(status) || (compute && !HasRoom(ids))) return status;
  return WithHostRoom([&] { return PinInTop(ids, slots); });
}

Status TieredStore::Impl::FetchToHost(std::span<const BlockId> ids, std::span<uint32_t> slots) {
  return WithHostRoom([&] {
    return PinAll(host, host_counters, ids, slots,
                  [this](std::span<const SlottedBlock> missing) { return LoadFromCold(missing); });
  });
}

Status TieredStore::Impl::WithHostRoom(FunctionRef<Status()> pin) {
  Status status = pin();
  if (!IsFull(status) || (copies == nullptr && DirtyBytes(0) == 0)) return status;
  // Blocks that wait for a flush take room which they need not.
  CAIRN_TRY(MakeRoom());
  return pin();
}

Status TieredStore::Impl::PinInTop(std::span<const BlockId> ids, std::span<uint32_t> slots) {
  return PinAll(top(), top_counters(), ids, slots, [this](std::span<const SlottedBlock> blocks) {
    return compute ? LoadFromHost(blocks) : LoadFromCold(blocks);
  });
}

Status TieredStore::Impl::PinAll(MemoryTier& tier, TierCounters& counters,
                                 std::span<const BlockId> ids, std::span<uint32_t> slots,
                                 Loader load) {
  std::vector<SlottedBlock> claimed;
  std::unique_lock lock(mutex);
  if (!ids.empty()) tier.table.BeginAccess(ids.front().layer);
  bool waiting = PinPresent(tier, ids, slots, claimed);
  counters.fetched_blocks += ids.size();
  counters.hit_blocks += ids.size() - claimed.size();  // a block asked for twice is read once
  for (;; waiting = PinPresent(tier, ids, slots, claimed)) {
    if (claimed.size() > tier.available() && reading_ahead > 0) {
      loaded.wait(lock);  // what is read ahead gives way
    } else if (!claimed.empty()) {
      Status status = Claim(tier, claimed);
      if (status) {
        lock.unlock();
        status = load(claimed);
        lock.lock();
        FinishLoad(tier, claimed, status.has_value());
      }
      if (!status) {
        UnpinIn(tier, slots);
        std::ranges::fill(slots, kNoSlot);
        return status;
      }
    } else if (waiting) {
      loaded.wait(lock);
    } else {
      return Ok();
    }
  }
}

/// Pins those of `ids` without a slot that are there; `absent` gets the others, sorted, once each.
/// True if some are on their way, for another fetch.
bool TieredStore::Impl::PinPresent(MemoryTier& tier, std::span<const BlockId> ids,
                                   std::span<uint32_t> slots, std::vector<SlottedBlock>& absent) {
  absent.clear();
  bool waiting = false;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (slots[i] != kNoSlot) continue;
    const uint32_t slot = tier.table.Find(ids[i]);
    if (slot == kNoSlot) {
      absent.push_back({ids[i], kNoSlot});
    } else if (tier.table.loading(slot)) {
      waiting = true;
    } else {
      tier.table.Pin(slot);
      tier.table.Touch(slot);
      slots[i] = slot;
    }
  }
  std::ranges::sort(absent, {}, &SlottedBlock::id);
  const auto repeated = std::unique(absent.begin(), absent.end(),
                                    [](const auto& a, const auto& b) { return a.id == b.id; });
  absent.erase(repeated, absent.end());
  return waiting;
}

Status TieredStore::Impl::Claim(MemoryTier& tier, std::span<SlottedBlock> blocks) {
  if (blocks.size() > tier.available()) {
    return Fail(Errc::kResource,
                "{} blocks are missing from the {} tier and only {} of its {} slots are not in "
                "use; raise its budget or fetch fewer at once",
                blocks.size(), tier.name, tier.available(), tier.pool.slots());
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    const size_t ahead = i + BlockTable::kExpectAhead;
    if (ahead < blocks.size()) tier.table.Expect(blocks[ahead].id);
    SlottedBlock& block = blocks[i];
    block.slot = tier.TakeSlot();
    CAIRN_CHECK(block.slot != kNoSlot);
    tier.table.Insert(block.id, block.slot);
    tier.table.SetLoading(block.slot, true);
  }
  return Ok();
}

void TieredStore::Impl::FinishLoad(MemoryTier& tier, std::span<const SlottedBlock> blocks,
                                   bool good) {
  for (const SlottedBlock& block : blocks) {
    tier.table.SetLoading(block.slot, false);
    if (good) continue;
    tier.table.Erase(block.slot);
    tier.pool.Give(block.slot);
  }
  loaded.notify_all();
}

Status TieredStore::Impl::LoadFromCold(std::span<const SlottedBlock> blocks) {
  std::vector<BlockId> ids;
  std::vector<std::byte*> targets;
  ids.reserve(blocks.size());
  targets.reserve(blocks.size());
  for (const SlottedBlock& block : blocks) {
    ids.push_back(block.id);
    targets.push_back(host.pool.At(block.slot));
  }
  const Slice slice(options.timeline, "read", static_cast<int64_t>(ids.size()));
  const Stopwatch watch;
  Status status = cold.ReadBlocks(ids, options.payload_bytes, targets);
  const uint64_t passed_ns = watch.Nanoseconds();
  std::lock_guard lock(mutex);
  cold_counters.fetched_blocks += ids.size();
  if (!status) {
    if (status.error().code == Errc::kCorruption) ++verify_failures;
    return status;
  }
  cold_counters.hit_blocks += ids.size();
  cold_counters.latency_ns.Record(passed_ns);
  host_counters.bytes_in += ids.size() * options.payload_bytes;
  return status;
}

Status TieredStore::Impl::LoadFromHost(std::span<const SlottedBlock> blocks) {
  std::vector<BlockId> ids;
  ids.reserve(blocks.size());
  for (const SlottedBlock& block : blocks) ids.push_back(block.id);
  std::vector<uint32_t> host_slots(ids.size(), kNoSlot);
  CAIRN_TRY(ReleaseCopied(false));
  CAIRN_TRY(
      PinAll(host, host_counters, ids, host_slots,
             [this](std::span<const SlottedBlock> missing) { return LoadFromCold(missing); }));
  const Stopwatch watch;
  const Status status = CopyUp(blocks, host_slots);
  const uint64_t passed_ns = watch.Nanoseconds();
  std::lock_guard lock(mutex);
  UnpinIn(host, host_slots);
  if (!status) return status;
  host_counters.latency_ns.Record(passed_ns);
  compute_counters.bytes_in += ids.size() * options.payload_bytes;
  return status;
}

Status TieredStore::Impl::CopyUp(std::span<const SlottedBlock> blocks,
                                 std::vector<uint32_t>& host_slots) {
  if (copies == nullptr) {
    for (size_t i = 0; i < blocks.size(); ++i) {
      std::memcpy(compute->pool.At(blocks[i].slot), host.pool.At(host_slots[i]),
                  options.payload_bytes);
    }
    return Ok();
  }
  std::vector<std::byte*> targets;
  std::vector<const std::byte*> sources;
  for (size_t i = 0; i < blocks.size(); ++i) {
    targets.push_back(compute->pool.At(blocks[i].slot));
    sources.push_back(host.pool.At(host_slots[i]));
  }
  CAIRN_TRY(copies->Start(targets, sources, options.payload_bytes, host_slots));
  host_slots.clear();  // held by the copies now
  return Ok();
}

void TieredStore::Impl::UnpinIn(MemoryTier& tier, std::span<const uint32_t> slots) {
  for (const uint32_t slot : slots) {
    if (slot != kNoSlot) tier.table.Unpin(slot);
  }
}

void TieredStore::Impl::Unpin(MemoryTier& tier, std::span<const uint32_t> slots) {
  std::lock_guard lock(mutex);
  UnpinIn(tier, slots);
}

}  // namespace cairn
