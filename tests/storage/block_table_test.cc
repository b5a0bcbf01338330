#include "storage/block_table.h"

#include <algorithm>
#include <map>
#include <set>

#include "store_fixture.h"

namespace cairn {
namespace {

BlockId Id(uint32_t ordinal) { return {.extent = 1, .ordinal = ordinal}; }

/// A table with a free list, as a tier has.
struct Cache {
  explicit Cache(uint32_t slots) : table(slots) {
    for (uint32_t slot = slots; slot > 0; --slot) free.push_back(slot - 1);
  }
  uint32_t Take() {
    if (free.empty()) return table.Evict();
    const uint32_t slot = free.back();
    free.pop_back();
    return slot;
  }
  bool Access(const BlockId& id) {
    const uint32_t found = table.Find(id);
    if (found != kNoSlot) {
      table.Touch(found);
      return true;
    }
    const uint32_t slot = Take();
    if (slot != kNoSlot) table.Insert(id, slot);
    return false;
  }
  BlockTable table;
  std::vector<uint32_t> free;
};

TEST(BlockTable, FindsWhatWasInserted) {
  Cache cache(4);
  EXPECT_EQ(cache.table.Find(Id(1)), kNoSlot);
  EXPECT_FALSE(cache.Access(Id(1)));
  EXPECT_TRUE(cache.Access(Id(1)));
  const uint32_t slot = cache.table.Find(Id(1));
  EXPECT_EQ(cache.table.id(slot), Id(1));
  cache.table.Erase(slot);
  EXPECT_EQ(cache.table.Find(Id(1)), kNoSlot);
  EXPECT_EQ(cache.table.size(), 0u);
  EXPECT_EQ(cache.table.Evict(), kNoSlot);
}

TEST(BlockTable, NothingHeldIsEvicted) {
  Cache cache(4);
  for (uint32_t i = 0; i < 4; ++i) cache.Access(Id(i));
  cache.table.Pin(cache.table.Find(Id(0)));
  cache.table.SetDirty(cache.table.Find(Id(1)), true);
  cache.table.SetLoading(cache.table.Find(Id(2)), true);
  EXPECT_EQ(cache.table.evictable(), 1u);
  const uint32_t last = cache.table.Find(Id(3));
  EXPECT_EQ(cache.table.Evict(), last);
  EXPECT_EQ(cache.table.Evict(), kNoSlot);
  cache.table.SetDirty(cache.table.Find(Id(1)), false);
  EXPECT_NE(cache.table.Evict(), kNoSlot);
  EXPECT_EQ(cache.table.Find(Id(1)), kNoSlot);
  EXPECT_NE(cache.table.Find(Id(0)), kNoSlot);
}

TEST(BlockTable, AScanDoesNotFlushTheWorkingSet) {
  constexpr uint32_t kSlots = 100;
  constexpr uint32_t kWorking = 50;
  Cache cache(kSlots);
  for (int round = 0; round < 4; ++round) {
    for (uint32_t i = 0; i < kWorking; ++i) cache.Access(Id(i));
  }
  uint32_t hits = 0;
  for (uint32_t i = 0; i < 2000; ++i) {
    cache.Access(Id(1000 + i));
    if (i % 4 == 0) hits += cache.Access(Id(i / 4 % kWorking)) ? 1 : 0;
  }
  EXPECT_GT(hits, 490u);  // of 500; least recently used would keep them too, once in 200 accesses
  uint32_t kept = 0;
  for (uint32_t i = 0; i < 5000; ++i) cache.Access(Id(100000 + i));
  for (uint32_t i = 0; i < kWorking; ++i) kept += cache.table.Find(Id(i)) != kNoSlot ? 1 : 0;
  EXPECT_GT(kept, kWorking / 2);  // after a scan of 50 times the tier
}

TEST(BlockTable, AGhostReturnsToTheMainQueue) {
  Cache cache(20);
  for (uint32_t i = 0; i < 20; ++i) cache.Access(Id(i));
  for (uint32_t i = 20; i < 25; ++i) cache.Access(Id(i));  // evicts 0..4 unused
  EXPECT_EQ(cache.table.Find(Id(0)), kNoSlot);
  cache.Access(Id(0));                                       // a ghost: straight to main
  for (uint32_t i = 100; i < 160; ++i) cache.Access(Id(i));  // a scan longer than the tier
  EXPECT_NE(cache.table.Find(Id(0)), kNoSlot);
}

/// Random operations against maps that say what must hold.
TEST(BlockTable, AgreesWithAModel) {
  std::mt19937_64 random = SeededRandom();
  struct Entry {
    uint32_t slot;
    uint32_t pins = 0;
    bool dirty = false;
    bool loading = false;
    bool held() const { return pins > 0 || dirty || loading; }
  };
  for (const uint32_t slots : {1u, 2u, 7u, 64u, 257u}) {
    Cache cache(slots);
    std::map<BlockId, Entry> model;
    for (int step = 0; step < 20000; ++step) {
      const BlockId id{.extent = 1 + Pick(random, 3), .ordinal = Pick(random, slots * 2)};
      const auto it = model.find(id);
      ASSERT_EQ(cache.table.Find(id), it == model.end() ? kNoSlot : it->second.slot);
      const uint32_t action = Pick(random, 10);
      if (it == model.end()) {
        const auto evictable =
            std::ranges::count_if(model, [](const auto& entry) { return !entry.second.held(); });
        ASSERT_EQ(cache.table.evictable(), static_cast<uint32_t>(evictable));
        const uint32_t slot = cache.Take();
        if (slot == kNoSlot) {
          ASSERT_EQ(evictable, 0);
          ASSERT_EQ(model.size(), slots);
          continue;
        }
        const auto evicted = std::ranges::find_if(
            model, [slot](const auto& entry) { return entry.second.slot == slot; });
        if (evicted != model.end()) {
          ASSERT_FALSE(evicted->second.held()) << ToString(evicted->first);
          model.erase(evicted);
        }
        cache.table.Insert(id, slot);
        model[id] = Entry{slot};
        continue;
      }
      Entry& entry = it->second;
      if (action < 3) {
        cache.table.Touch(entry.slot);
      } else if (action < 5) {
        cache.table.Pin(entry.slot);
        ++entry.pins;
      } else if (action < 8 && entry.pins > 0) {
        cache.table.Unpin(entry.slot);
        --entry.pins;
      } else if (action == 8) {
        entry.dirty = !entry.dirty && Pick(random, 2) == 0;
        cache.table.SetDirty(entry.slot, entry.dirty);
        entry.loading = Pick(random, 4) == 0;
        cache.table.SetLoading(entry.slot, entry.loading);
      } else if (!entry.held()) {
        cache.table.Erase(entry.slot);
        cache.free.push_back(entry.slot);
        model.erase(it);
      }
      ASSERT_EQ(cache.table.size(), model.size());
    }
  }
}

}  // namespace
}  // namespace cairn
