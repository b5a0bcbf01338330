#include "storage/block_table.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace cairn {
namespace {

constexpr uint32_t kMaxUses = 3;
constexpr size_t kGhostWays = 4;

}  // namespace

BlockTable::BlockTable(uint32_t slots)
    : entries_(slots),
      buckets_(std::bit_ceil(std::max<size_t>(4, size_t{slots} * 2)), kNoSlot),
      ghosts_(std::bit_ceil(std::max<size_t>(kGhostWays, slots))),
      small_target_(std::max<uint32_t>(1, slots / 10)) {
  static_assert(sizeof(Entry) + 2 * 2 * sizeof(uint32_t) + 2 * sizeof(Ghost) <= kBytesPerSlot);
}

uint32_t BlockTable::Find(const BlockId& id) const {
  for (size_t i = Bucket(id);; i = (i + 1) & (buckets_.size() - 1)) {
    const uint32_t slot = buckets_[i];
    if (slot == kNoSlot || entries_[slot].id == id) return slot;
  }
}

void BlockTable::Touch(uint32_t slot) {
  Entry& entry = entries_[slot];
  if (entry.uses < kMaxUses) ++entry.uses;
}

void BlockTable::Insert(const BlockId& id, uint32_t slot) {
  CAIRN_CHECK(slot < slots() && !occupied(slot));
  size_t i = Bucket(id);
  while (buckets_[i] != kNoSlot) {
    CAIRN_CHECK(entries_[buckets_[i]].id != id);
    i = (i + 1) & (buckets_.size() - 1);
  }
  buckets_[i] = slot;
  entries_[slot] = Entry{.id = id};
  PushNewest(TakeGhost(id) ? Queue::kMain : Queue::kSmall, slot);
  ++evictable_;
}

void BlockTable::Erase(uint32_t slot) {
  Entry& entry = entries_[slot];
  CAIRN_CHECK(occupied(slot) && entry.pins == 0 && !dirty(slot));
  if (Evictable(entry)) --evictable_;
  RemoveFromBuckets(entry.id);
  Unlink(slot);
  entry = Entry{};
}

uint32_t BlockTable::Evict() {
  // Ends: an evictable block exists, and each visit to one takes it, moves it to main or lowers
  // its count of uses.
  while (evictable_ > 0) {
    const bool from_small = small_.size >= small_target_ || main_.size == 0;
    uint32_t slot = from_small ? EvictFromSmall() : EvictFromMain();
    if (slot == kNoSlot) slot = from_small ? EvictFromMain() : EvictFromSmall();
    if (slot != kNoSlot) return slot;
  }
  return kNoSlot;
}

uint32_t BlockTable::EvictFromSmall() {
  for (uint32_t left = small_.size; left > 0; --left) {
    const uint32_t slot = small_.oldest;
    Entry& entry = entries_[slot];
    if (!Evictable(entry)) {
      Unlink(slot);
      PushNewest(Queue::kSmall, slot);
    } else if (entry.uses > 0) {
      entry.uses = 0;
      Unlink(slot);
      PushNewest(Queue::kMain, slot);
    } else {
      RememberGhost(entry.id);
      Erase(slot);
      return slot;
    }
  }
  return kNoSlot;
}

uint32_t BlockTable::EvictFromMain() {
  for (uint32_t left = main_.size; left > 0; --left) {
    const uint32_t slot = main_.oldest;
    Entry& entry = entries_[slot];
    if (Evictable(entry) && entry.uses == 0) {
      Erase(slot);
      return slot;
    }
    if (Evictable(entry)) --entry.uses;
    Unlink(slot);
    PushNewest(Queue::kMain, slot);
  }
  return kNoSlot;
}

template <class Change>
void BlockTable::Update(uint32_t slot, Change change) {
  CAIRN_CHECK(occupied(slot));
  Entry& entry = entries_[slot];
  const bool before = Evictable(entry);
  change(entry);
  const bool after = Evictable(entry);
  evictable_ += static_cast<uint32_t>(after) - static_cast<uint32_t>(before);
}

void BlockTable::Pin(uint32_t slot) {
  Update(slot, [](Entry& entry) { ++entry.pins; });
}

void BlockTable::Unpin(uint32_t slot) {
  CAIRN_CHECK(entries_[slot].pins > 0);
  Update(slot, [](Entry& entry) { --entry.pins; });
}

void BlockTable::SetDirty(uint32_t slot, bool dirty) {
  if (dirty == this->dirty(slot)) return;
  Update(slot, [&](Entry& entry) {
    if (dirty) {
      Unlink(slot);
      entry.queue = Queue::kDirty;
      ++dirty_size_;
    } else {
      --dirty_size_;
      PushNewest(entry.uses > 0 ? Queue::kMain : Queue::kSmall, slot);
    }
  });
}

void BlockTable::SetLoading(uint32_t slot, bool loading) {
  Update(slot, [loading](Entry& entry) { entry.loading = loading; });
}

void BlockTable::PushNewest(Queue queue, uint32_t slot) {
  List& list = ListOf(queue);
  Entry& entry = entries_[slot];
  entry.queue = queue;
  entry.newer = kNoSlot;
  entry.older = list.newest;
  if (list.newest != kNoSlot) entries_[list.newest].newer = slot;
  list.newest = slot;
  if (list.oldest == kNoSlot) list.oldest = slot;
  ++list.size;
}

void BlockTable::Unlink(uint32_t slot) {
  Entry& entry = entries_[slot];
  List& list = ListOf(entry.queue);
  if (entry.newer != kNoSlot) {
    entries_[entry.newer].older = entry.older;
  } else {
    list.newest = entry.older;
  }
  if (entry.older != kNoSlot) {
    entries_[entry.older].newer = entry.newer;
  } else {
    list.oldest = entry.newer;
  }
  entry.queue = Queue::kNone;
  --list.size;
}

void BlockTable::RemoveFromBuckets(const BlockId& id) {
  const size_t mask = buckets_.size() - 1;
  size_t hole = Bucket(id);
  while (entries_[buckets_[hole]].id != id) hole = (hole + 1) & mask;
  // Moves later entries of the run back, so that probing needs no tombstones.
  for (size_t i = (hole + 1) & mask; buckets_[i] != kNoSlot; i = (i + 1) & mask) {
    const size_t home = Bucket(entries_[buckets_[i]].id);
    if (((i - home) & mask) >= ((i - hole) & mask)) {
      buckets_[hole] = buckets_[i];
      hole = i;
    }
  }
  buckets_[hole] = kNoSlot;
}

BlockTable::Ghost* BlockTable::GhostSet(uint64_t hash) {
  const size_t sets = ghosts_.size() / kGhostWays;
  return ghosts_.data() + (hash & (sets - 1)) * kGhostWays;
}

void BlockTable::RememberGhost(const BlockId& id) {
  const uint64_t hash = BlockIdHash{}(id);
  Ghost* set = GhostSet(hash);
  Ghost* oldest = std::min_element(set, set + kGhostWays,
                                   [](const Ghost& a, const Ghost& b) { return a.time < b.time; });
  if (++ghost_time_ == 0) ghost_time_ = 1;  // after 4 billion evictions ages mix once; harmless
  *oldest = Ghost{static_cast<uint32_t>(hash >> 32), ghost_time_};
}

bool BlockTable::TakeGhost(const BlockId& id) {
  const uint64_t hash = BlockIdHash{}(id);
  Ghost* set = GhostSet(hash);
  for (Ghost* ghost = set; ghost != set + kGhostWays; ++ghost) {
    if (ghost->time == 0 || ghost->fingerprint != static_cast<uint32_t>(hash >> 32)) continue;
    const bool recent = ghost_time_ - ghost->time < slots();
    *ghost = Ghost{};
    return recent;
  }
  return false;
}

}  // namespace cairn
