// Reading ahead: blocks that may be wanted soon come into the host tier while nobody waits.
#include <algorithm>

#include "storage/tiered_store_impl.h"

namespace cairn {

void TieredStore::Impl::StartReadAhead(std::span<const BlockId> ids) {
  if (ahead == nullptr || ids.empty()) return;
  std::vector<BlockId> absent;
  {
    std::lock_guard lock(mutex);
    for (const BlockId& id : ids) {
      if (host.table.Find(id) != kNoSlot) continue;
      if (compute && compute->table.Find(id) != kNoSlot) continue;
      absent.push_back(id);
    }
  }
  if (absent.empty()) return;
  std::ranges::sort(absent);
  absent.erase(std::unique(absent.begin(), absent.end()), absent.end());
  // If the queue is full the step reads for itself what it needs.
  static_cast<void>(ahead->Post([this, absent = std::move(absent)] { ReadAhead(absent); }));
}

void TieredStore::Impl::ReadAhead(std::span<const BlockId> ids) {
  std::vector<SlottedBlock> claimed;
  {
    std::lock_guard lock(mutex);
    if (discarding) return;
    const size_t most = std::max<size_t>(1, host.pool.slots() / 4);
    for (const BlockId& id : ids) {
      if (host.table.Find(id) != kNoSlot) continue;
      const uint32_t slot = claimed.size() < most ? host.TakeSlot() : kNoSlot;
      if (slot == kNoSlot) break;
      host.table.InsertAhead(id, slot);
      host.table.SetLoading(slot, true);
      claimed.push_back({id, slot});
    }
    reading_ahead += claimed.size();
  }
  if (claimed.empty()) return;
  const Status status = LoadFromCold(claimed);
  std::lock_guard lock(mutex);
  reading_ahead -= claimed.size();
  if (status.has_value()) ahead_blocks += claimed.size();
  FinishLoad(host, claimed, status.has_value());
}

}  // namespace cairn
