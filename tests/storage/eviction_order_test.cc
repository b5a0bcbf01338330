#include "storage/eviction_order.h"

#include <map>

#include "store_fixture.h"

namespace cairn {
namespace {

/// Takes all out, in the order in which they would go.
std::vector<uint32_t> Drain(EvictionOrder& order) {
  std::vector<uint32_t> slots;
  while (order.size() > 0) {
    slots.push_back(order.Next());
    order.Remove(slots.back());
  }
  return slots;
}

TEST(EvictionOrder, IsEmptyAtFirst) {
  EvictionOrder order(3);
  EXPECT_EQ(order.size(), 0u);
  EXPECT_EQ(order.Next(), kNoSlot);
}

TEST(EvictionOrder, TheLayerThatComesLastGoesFirst) {
  EvictionOrder order(4);
  for (uint16_t layer = 0; layer < 4; ++layer) {
    order.BeginAccess(layer);
    order.Add(layer, layer, order.FirstUse(layer));
  }
  order.BeginAccess(0);
  order.Remove(0);
  order.Add(0, 0, order.FirstUse(0));
  order.BeginAccess(1);
  order.Remove(1);
  order.Add(1, 1, order.FirstUse(1));
  EXPECT_EQ(Drain(order), (std::vector<uint32_t>{1, 0, 3, 2}));
}

TEST(EvictionOrder, BlocksOfLayersThatNobodyHasWantedGoLast) {
  EvictionOrder order(3);
  order.BeginAccess(1);
  order.Add(0, 7, order.FirstUse(7));
  order.Add(1, 5, order.FirstUse(5));
  order.Add(2, 0, order.FirstUse(0));
  EXPECT_EQ(Drain(order), (std::vector<uint32_t>{2, 1, 0}));
}

TEST(EvictionOrder, AWayIsThatOfABlockInItOrNot) {
  EvictionOrder order(2);
  EvictionOrder::Worth often = 0;
  for (int turn = 0; turn < 6; ++turn) {
    for (const uint16_t layer : {0, 1, 2}) order.BeginAccess(layer);
    often = turn == 0 ? order.FirstUse(1) : order.NextUse(1, often);
  }
  order.BeginAccess(0);
  const EvictionOrder::Worth once = order.FirstUse(1), now = order.FirstUse(0);
  EXPECT_LT(order.Way(1, often), order.Way(1, once)) << "wanted more often";
  EXPECT_LT(order.Way(1, once), order.Way(1, once - 6)) << "wanted later";
  EXPECT_EQ(order.Way(1, once - 1000), order.Way(1, once - 2000)) << "both long ago";
  EXPECT_LT(order.Way(1, once), order.Way(2, order.FirstUse(2))) << "comes next";
  EXPECT_LT(order.Way(2, order.FirstUse(2)), order.Way(0, now)) << "its turn is now";
  EXPECT_LT(order.Way(7, order.FirstUse(7)), order.Way(1, often)) << "nobody has wanted that layer";
  order.Add(0, 0, now);
  order.Add(1, 1, once - 1000);
  EXPECT_EQ(order.Next(), 1u);
  EXPECT_LT(order.Way(0, now), order.Way(1, once - 1000));
}

TEST(EvictionOrder, KnowsWhatGoesAfterOneOfTheSameLayerAndWorth) {
  EvictionOrder order(4);
  order.BeginAccess(0);
  order.Add(2, 0, order.FirstUse(0));
  order.Add(0, 0, order.FirstUse(0));
  order.Add(1, 3, order.FirstUse(3));
  EXPECT_EQ(order.After(2), 0u);
  EXPECT_EQ(order.After(0), kNoSlot);
  EXPECT_EQ(order.After(1), kNoSlot);
}

TEST(EvictionOrder, WhatIsWantedOftenStaysBeforeWhatIsNear) {
  EvictionOrder order(3);
  EvictionOrder::Worth often = 0;
  for (int turn = 0; turn < 10; ++turn) {
    order.BeginAccess(0);
    often = turn == 0 ? order.FirstUse(0) : order.NextUse(0, often);
    order.BeginAccess(1);
    if (turn == 4) order.Add(2, 1, order.FirstUse(1));  // five turns ago
  }
  order.Add(0, 0, often);
  order.Add(1, 1, order.FirstUse(1));
  EXPECT_EQ(Drain(order), (std::vector<uint32_t>{2, 1, 0}));
}

TEST(EvictionOrder, WorthGrowsWithUseAndIsBounded) {
  EvictionOrder order(1);
  order.BeginAccess(0);
  EvictionOrder::Worth worth = order.FirstUse(0);
  for (int turn = 0; turn < 100; ++turn) {
    order.BeginAccess(0);
    const EvictionOrder::Worth next = order.NextUse(0, worth);
    EXPECT_TRUE(EvictionOrder::Less(worth, next));
    EXPECT_FALSE(EvictionOrder::Less(next, order.FirstUse(0)));
    EXPECT_TRUE(EvictionOrder::Less(next, order.FirstUse(0) + 9));
    worth = next;
  }
  for (int turn = 0; turn < 100; ++turn) order.BeginAccess(0);
  EXPECT_EQ(order.NextUse(0, worth), order.FirstUse(0));  // forgotten
}

// All that a layer has leaves the window of worths, one turn after another.
TEST(EvictionOrder, WhatNobodyWantsForLongIsEquallyOld) {
  EvictionOrder order(4);
  order.BeginAccess(0);
  const EvictionOrder::Worth first = order.FirstUse(0);
  order.Add(1, 0, first + 1);
  order.Add(2, 0, first);
  for (int turn = 0; turn < 40; ++turn) {
    order.BeginAccess(1);
    order.BeginAccess(0);
    EXPECT_EQ(order.Next(), 2u) << turn;
  }
  order.Add(3, 0, order.FirstUse(0));
  EXPECT_EQ(Drain(order), (std::vector<uint32_t>{2, 1, 3}));
}

TEST(EvictionOrder, EqualOnesGoInTheOrderTheyCame) {
  EvictionOrder order(60);
  order.BeginAccess(0);
  const EvictionOrder::Worth worth = order.FirstUse(0);
  for (uint32_t slot = 0; slot < 30; ++slot) order.Add(slot, 0, worth);
  for (int turn = 0; turn < 50; ++turn) order.BeginAccess(0);  // past the window
  for (uint32_t slot = 30; slot < 60; ++slot) order.Add(slot, 0, worth);
  std::vector<uint32_t> expected(60);
  for (uint32_t slot = 0; slot < 60; ++slot) expected[slot] = slot;
  EXPECT_EQ(Drain(order), expected);
}

/// Random use of few or many layers against a plain list: within a layer the least worth goes
/// first, and of all the one with the longest way; nothing is lost and nothing comes twice.
TEST(EvictionOrder, AgreesWithAPlainList) {
  std::mt19937_64 random = SeededRandom();
  constexpr uint32_t kSlots = 200;
  constexpr uint32_t kWindow = 40;
  for (const uint32_t layers : {1u, 3u, 30u, 128u, 300u}) {
    EvictionOrder order(kSlots);
    struct Entry {
      uint16_t layer;
      EvictionOrder::Worth worth;
    };
    std::map<uint32_t, Entry> model;
    for (int step = 0; step < 20000; ++step) {
      const auto layer = static_cast<uint16_t>(Pick(random, layers));
      if (Pick(random, 3) == 0) order.BeginAccess(layer);
      const uint32_t slot = Pick(random, kSlots);
      if (const auto it = model.find(slot); it != model.end()) {
        order.Remove(slot);
        model.erase(it);
      } else {
        EvictionOrder::Worth worth = order.FirstUse(layer);
        if (Pick(random, 2) == 0) worth = order.NextUse(layer, worth - Pick(random, 60));
        order.Add(slot, layer, worth);
        model[slot] = {layer, worth};
      }
      ASSERT_EQ(order.size(), model.size());
      const uint32_t next = order.Next();
      if (model.empty()) {
        ASSERT_EQ(next, kNoSlot);
        continue;
      }
      ASSERT_TRUE(model.contains(next));
      const Entry& first = model[next];
      const int32_t way = order.Way(first.layer, first.worth);
      for (const auto& [other, entry] : model) {
        ASSERT_LE(order.Way(entry.layer, entry.worth), way);
        if (entry.layer != first.layer) continue;
        const bool aged = !EvictionOrder::Less(order.FirstUse(entry.layer) - kWindow, first.worth);
        ASSERT_TRUE(aged || !EvictionOrder::Less(entry.worth, first.worth));
      }
    }
  }
}

}  // namespace
}  // namespace cairn
