#include "storage/block_table.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "storage/large_pages.h"

namespace cairn {
namespace {

constexpr size_t kAhead = 16;  // look-ups whose memory is on its way at once

}  // namespace

BlockTable::BlockTable(uint32_t slots)
    : entries_(MakeInLargePages<Entry>(slots)),
      buckets_(MakeInLargePages<Bucket>(std::bit_ceil(std::max<size_t>(4, size_t{slots} * 2)))),
      ghosts_(MakeInLargePages<GhostSet>(std::bit_ceil(std::max<size_t>(kGhostWays, slots)) /
                                         kGhostWays)),
      order_(slots) {
  static_assert(sizeof(Entry) + 2 * 2 * sizeof(Bucket) + 2 * sizeof(Ghost) +
                    EvictionOrder::kBytesPerSlot <=
                kBytesPerSlot);
}

uint32_t BlockTable::FindAt(const BlockId& id, uint64_t hash) const {
  const size_t mask = buckets_.size() - 1;
  for (size_t i = HomeOf(Fingerprint(hash));; i = (i + 1) & mask) {
    const Bucket& bucket = buckets_[i];
    if (bucket.slot == kNoSlot) return kNoSlot;
    if (bucket.fingerprint == Fingerprint(hash) && entries_[bucket.slot].id == id) {
      return bucket.slot;
    }
  }
}

uint32_t BlockTable::Find(const BlockId& id) const { return FindAt(id, HashOf(id)); }

void BlockTable::FindAll(std::span<const BlockId> ids, std::span<uint32_t> slots) const {
  uint64_t hashes[kAhead];
  for (size_t begin = 0; begin < ids.size(); begin += kAhead) {
    const size_t count = std::min(kAhead, ids.size() - begin);
    for (size_t i = 0; i < count; ++i) {
      hashes[i] = HashOf(ids[begin + i]);
      __builtin_prefetch(&buckets_[HomeOf(Fingerprint(hashes[i]))]);
    }
    for (size_t i = 0; i < count; ++i) {
      const Bucket& bucket = buckets_[HomeOf(Fingerprint(hashes[i]))];
      if (bucket.slot != kNoSlot) __builtin_prefetch(&entries_[bucket.slot]);
    }
    for (size_t i = 0; i < count; ++i) slots[begin + i] = FindAt(ids[begin + i], hashes[i]);
  }
}

void BlockTable::Expect(uint64_t hash) const {
  __builtin_prefetch(&buckets_[HomeOf(Fingerprint(hash))], 1);
  __builtin_prefetch(&ghosts_[GhostsOf(hash)], 1);
}

void BlockTable::Touch(uint32_t slot) {
  const uint16_t layer = entries_[slot].id.layer;
  if (entries_[slot].turn == order_.Turn(layer)) return;
  Update(slot, [&](Entry& entry) {
    entry.turn = order_.Turn(layer);
    entry.worth = order_.NextUse(layer, entry.worth);
  });
}

void BlockTable::Insert(const BlockId& id, uint32_t slot) {
  const Worth before = Put(id, slot);
  Entry& entry = entries_[slot];
  entry.worth = before == 0 ? order_.FirstUse(id.layer) : order_.NextUse(id.layer, before);
  entry.turn = order_.Turn(id.layer);
  order_.Add(slot, id.layer, entry.worth);
}

void BlockTable::InsertAhead(const BlockId& id, uint32_t slot) {
  const Worth before = Put(id, slot);
  Entry& entry = entries_[slot];
  entry.worth = before == 0 ? order_.FirstUse(id.layer) : before;
  entry.turn = static_cast<uint8_t>(order_.Turn(id.layer) - 1);  // the next use counts
  order_.Add(slot, id.layer, entry.worth);
}

BlockTable::Worth BlockTable::Put(const BlockId& id, uint32_t slot) {
  CAIRN_CHECK(slot < slots() && !occupied(slot));
  const uint64_t hash = HashOf(id);
  const size_t mask = buckets_.size() - 1;
  size_t i = HomeOf(Fingerprint(hash));
  while (buckets_[i].slot != kNoSlot) {
    CAIRN_CHECK(buckets_[i].fingerprint != Fingerprint(hash) ||
                entries_[buckets_[i].slot].id != id);
    i = (i + 1) & mask;
  }
  buckets_[i] = {slot, Fingerprint(hash)};
  ++size_;
  entries_[slot] = Entry{.id = id, .occupied = 1};
  return TakeGhost(hash);
}

void BlockTable::Erase(uint32_t slot) {
  Entry& entry = entries_[slot];
  CAIRN_CHECK(occupied(slot) && entry.pins == 0 && !dirty(slot));
  if (Evictable(entry)) order_.Remove(slot);
  RemoveFromBuckets(slot);
  entry = Entry{};
  --size_;
}

uint32_t BlockTable::Evict() {
  const uint32_t slot = order_.Next();
  if (slot == kNoSlot) return kNoSlot;
  // The memory of those that will probably go next comes meanwhile.
  if (const uint32_t next = order_.After(slot); next != kNoSlot) {
    Expect(HashOf(entries_[next].id));
    if (const uint32_t later = order_.After(next); later != kNoSlot) {
      __builtin_prefetch(&entries_[later], 1);
      order_.Expect(later);
    }
  }
  RememberGhost(entries_[slot]);
  Erase(slot);
  return slot;
}

template <class Change>
void BlockTable::Update(uint32_t slot, Change change) {
  Entry& entry = entries_[slot];
  CAIRN_CHECK(entry.occupied);
  if (Evictable(entry)) order_.Remove(slot);
  change(entry);
  if (Evictable(entry)) order_.Add(slot, entry.id.layer, entry.worth);
}

void BlockTable::Pin(uint32_t slot) {
  Update(slot, [](Entry& entry) {
    ++entry.pins;
    CAIRN_CHECK(entry.pins != 0);
  });
}

void BlockTable::Unpin(uint32_t slot) {
  CAIRN_CHECK(entries_[slot].pins > 0);
  Update(slot, [](Entry& entry) { --entry.pins; });
}

void BlockTable::SetDirty(uint32_t slot, bool dirty) {
  Update(slot, [dirty](Entry& entry) { entry.dirty = dirty; });
}

void BlockTable::SetLoading(uint32_t slot, bool loading) {
  Update(slot, [loading](Entry& entry) { entry.loading = loading; });
}

void BlockTable::RemoveFromBuckets(uint32_t slot) {
  const size_t mask = buckets_.size() - 1;
  size_t hole = HomeOf(Fingerprint(HashOf(entries_[slot].id)));
  while (buckets_[hole].slot != slot) hole = (hole + 1) & mask;
  // Moves later entries of the run back, so that probing needs no tombstones.
  for (size_t i = (hole + 1) & mask; buckets_[i].slot != kNoSlot; i = (i + 1) & mask) {
    const size_t home = HomeOf(buckets_[i].fingerprint);
    if (((i - home) & mask) >= ((i - hole) & mask)) {
      buckets_[hole] = buckets_[i];
      hole = i;
    }
  }
  buckets_[hole] = Bucket{};
}

/// In place of the one in its set that is worth least.
void BlockTable::RememberGhost(const Entry& entry) {
  const uint64_t hash = HashOf(entry.id);
  Ghost* const set = ghosts_[GhostsOf(hash)].ways;
  Ghost* least = std::min_element(set, set + kGhostWays, [](const Ghost& a, const Ghost& b) {
    return EvictionOrder::Less(a.worth, b.worth);
  });
  *least = Ghost{Fingerprint(hash), entry.worth};
}

/// What the block was worth when it was evicted, and forgets that; 0 if nothing is known.
BlockTable::Worth BlockTable::TakeGhost(uint64_t hash) {
  Ghost* const set = ghosts_[GhostsOf(hash)].ways;
  for (Ghost* ghost = set; ghost != set + kGhostWays; ++ghost) {
    if (ghost->worth == 0 || ghost->fingerprint != Fingerprint(hash)) continue;
    const Worth worth = ghost->worth;
    *ghost = Ghost{};
    return worth;
  }
  return 0;
}

}  // namespace cairn
