#include "storage/block_table.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "store_fixture.h"

namespace cairn {
namespace {

BlockId Id(uint32_t ordinal, uint16_t layer = 0) {
  return {.extent = 1, .ordinal = ordinal, .layer = layer};
}

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
    table.BeginAccess(id.layer);
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

constexpr uint16_t kLayers = 8;

/// One turn of each layer; `ordinals` of the turn, counted from the start. Returns the hits.
template <class Ordinals>
uint32_t Round(Cache& cache, uint32_t turn, Ordinals ordinals) {
  uint32_t hits = 0;
  for (uint16_t layer = 0; layer < kLayers; ++layer) {
    for (const uint32_t ordinal : ordinals(turn)) hits += cache.Access(Id(ordinal, layer)) ? 1 : 0;
  }
  return hits;
}

TEST(BlockTable, ARoundLargerThanTheTableKeepsAsMuchAsFits) {
  Cache cache(kLayers * 10 / 2);  // half of what each round wants
  const auto same = [](uint32_t) {
    std::vector<uint32_t> ordinals(10);
    std::iota(ordinals.begin(), ordinals.end(), 0);
    return ordinals;
  };
  uint32_t hits = 0;
  for (uint32_t turn = 0; turn < 12; ++turn) hits = Round(cache, turn, same);
  EXPECT_GE(hits, cache.table.slots() * 3 / 4);  // least recently used would have none
}

TEST(BlockTable, AScanDoesNotFlushTheWorkingSet) {
  Cache cache(kLayers * 12);
  const auto half_new = [](uint32_t turn) {  // ten as ever, ten never seen before
    std::vector<uint32_t> ordinals(20);
    std::iota(ordinals.begin(), ordinals.begin() + 10, 0);
    std::iota(ordinals.begin() + 10, ordinals.end(), 100 + turn * 10);
    return ordinals;
  };
  uint32_t hits = 0;
  for (uint32_t turn = 0; turn < 30; ++turn) hits = Round(cache, turn, half_new);
  EXPECT_GE(hits, kLayers * 9u);  // of kLayers * 10
}

TEST(BlockTable, WhatABlockWasWorthReturnsWithIt) {
  Cache cache(kLayers * 4);
  const auto few = [](uint32_t) { return std::vector<uint32_t>{1, 2, 3}; };
  for (uint32_t turn = 0; turn < 6; ++turn) Round(cache, turn, few);
  const uint32_t slot = cache.table.Find(Id(1, 5));
  while (cache.table.Find(Id(1, 5)) != kNoSlot) cache.free.push_back(cache.table.Evict());
  cache.Access(Id(1, 5));
  cache.Access(Id(50, 5));  // new
  cache.Access(Id(0, 6));   // layer 5 comes last now
  EXPECT_NE(slot, kNoSlot);
  while (cache.table.Find(Id(50, 5)) != kNoSlot) cache.free.push_back(cache.table.Evict());
  EXPECT_NE(cache.table.Find(Id(1, 5)), kNoSlot);
}

TEST(BlockTable, FindsSeveralAsItFindsOne) {
  std::mt19937_64 random = SeededRandom();
  Cache cache(300);
  for (int i = 0; i < 2000; ++i) cache.Access(Id(Pick(random, 500), Pick(random, 3)));
  for (const size_t count : {0, 1, 15, 16, 17, 100}) {
    std::vector<BlockId> ids;
    for (size_t i = 0; i < count; ++i) ids.push_back(Id(Pick(random, 600), Pick(random, 3)));
    std::vector<uint32_t> slots(count);
    cache.table.FindAll(ids, slots);
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(slots[i], cache.table.Find(ids[i]));
  }
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
      const BlockId id{.extent = 1 + Pick(random, 3),
                       .ordinal = Pick(random, slots),
                       .layer = static_cast<uint16_t>(Pick(random, 2) * 127)};
      if (Pick(random, 3) == 0) cache.table.BeginAccess(id.layer);
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
