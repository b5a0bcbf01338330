#include "tools/table_rate.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <vector>

#include "base/check.h"
#include "storage/block_table.h"

namespace cairn {
namespace {

constexpr uint16_t kLayers = 30, kHeads = 3;
constexpr uint32_t kLeastOperations = 1 << 20;

/// The i-th block of a session of such layers and heads.
BlockId Block(uint32_t i) {
  const uint32_t per_ordinal = kLayers * kHeads;
  return {.extent = 1,
          .ordinal = i / per_ordinal,
          .layer = static_cast<uint16_t>(i % per_ordinal / kHeads),
          .head = static_cast<uint16_t>(i % kHeads)};
}

template <class Body>
double PerSecond(int repeats, size_t operations, Body body) {
  std::vector<double> rates;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    rates.push_back(static_cast<double>(operations) / passed.count());
  }
  std::ranges::sort(rates);
  return rates[rates.size() / 2];
}

}  // namespace

TableRate MeasureTable(uint32_t slots, int repeats) {
  BlockTable table(slots);
  uint32_t next = 0;
  for (; next < slots; ++next) table.Insert(Block(next), next);
  std::vector<BlockId> order, absent;
  const uint32_t operations = std::max(kLeastOperations, slots);
  for (uint32_t i = 0; i < operations; ++i) {
    order.push_back(Block(i % slots));
    absent.push_back(Block(slots + i % slots));
  }
  std::mt19937_64 random(1);
  std::ranges::shuffle(order, random);
  std::ranges::shuffle(absent, random);

  TableRate rate{.slots = slots};
  uint64_t found = 0;
  rate.lookups = PerSecond(repeats, operations, [&] {
    for (const BlockId& id : order) {
      const uint32_t slot = table.Find(id);
      table.Touch(slot);
      found += slot;
    }
  });
  rate.misses = PerSecond(repeats, operations, [&] {
    for (const BlockId& id : absent) found += table.Find(id) == kNoSlot ? 1 : 0;
  });
  CAIRN_CHECK(found > 0);
  rate.insertions = PerSecond(repeats, operations, [&] {
    for (uint32_t i = 0; i < operations; ++i) table.Insert(Block(next++), table.Evict());
  });
  return rate;
}

}  // namespace cairn
