#include "tools/table_rate.h"

#include <algorithm>
#include <ctime>
#include <random>
#include <span>
#include <vector>

#include "base/check.h"
#include "storage/block_table.h"

namespace cairn {
namespace {

constexpr uint16_t kLayers = 30, kHeads = 3;
constexpr uint32_t kLeastOperations = 1 << 20;
constexpr size_t kBatch = 64;  // look-ups at once; a step of a model has 24 to 512

/// The i-th block of a session of such layers and heads.
BlockId Block(uint32_t i) {
  const uint32_t per_ordinal = kLayers * kHeads;
  return {.extent = 1,
          .ordinal = i / per_ordinal,
          .layer = static_cast<uint16_t>(i % per_ordinal / kHeads),
          .head = static_cast<uint16_t>(i % kHeads)};
}

/// Seconds this thread has had a core.
double CoreSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

template <class Body>
double PerSecond(int repeats, size_t operations, Body body) {
  std::vector<double> rates;
  for (int i = 0; i < repeats; ++i) {
    const double start = CoreSeconds();
    body();
    rates.push_back(static_cast<double>(operations) / (CoreSeconds() - start));
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
  std::vector<uint32_t> slots_of(kBatch);
  rate.lookups = PerSecond(repeats, operations, [&] {
    for (size_t i = 0; i + kBatch <= order.size(); i += kBatch) {
      const std::span batch(order.data() + i, kBatch);
      table.FindAll(batch, slots_of);
      for (const uint32_t slot : slots_of) table.Touch(slot);
      found += slots_of[0] + 1;
    }
  });
  rate.misses = PerSecond(repeats, operations, [&] {
    for (size_t i = 0; i + kBatch <= absent.size(); i += kBatch) {
      table.FindAll({absent.data() + i, kBatch}, slots_of);
      found += slots_of[0] == kNoSlot ? 1 : 0;
    }
  });
  CAIRN_CHECK(found > 0);
  rate.insertions = PerSecond(repeats, operations, [&] {
    for (uint32_t i = 0; i < operations; ++i, ++next) {
      table.Expect(Block(next + BlockTable::kExpectAhead));
      table.BeginAccess(Block(next).layer);
      table.Insert(Block(next), table.Evict());
    }
  });
  return rate;
}

}  // namespace cairn
