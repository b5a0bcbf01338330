#include "tools/cache_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <vector>

#include "tests/support/random.h"
#include "tools/cache_replay.h"

namespace cairn {
namespace {

struct Event {
  AccessKind kind = AccessKind::kFetch;
  std::vector<uint32_t> blocks;  // discard: the first of the blocks that go
};

BlockId Id(uint32_t block) { return {.extent = 3, .ordinal = block}; }

AccessLog LogOf(const std::vector<Event>& events) {
  AccessLog log;
  for (const Event& event : events) {
    log.events.push_back({event.kind, log.ids.size(), event.blocks.size()});
    for (const uint32_t block : event.blocks) log.ids.push_back(Id(block));
  }
  return log;
}

/// Looks at everything that could be held after each event: the most hits there can be.
class BruteForce {
 public:
  BruteForce(const std::vector<Event>& events, uint32_t slots) : events_(events), slots_(slots) {}

  uint32_t MostHits(size_t event = 0, uint32_t held = 0) {
    if (event == events_.size()) return 0;
    const auto key = std::pair(event, held);
    if (const auto known = known_.find(key); known != known_.end()) return known->second;
    const Event& now = events_[event];
    if (now.kind == AccessKind::kDiscard) {
      return known_[key] = MostHits(event + 1, held & ((1u << now.blocks[0]) - 1));
    }
    uint32_t wanted = 0;
    for (const uint32_t block : now.blocks) wanted |= 1u << block;
    const auto hits =
        now.kind == AccessKind::kFetch ? static_cast<uint32_t>(std::popcount(wanted & held)) : 0;
    uint32_t most = 0;
    const uint32_t others = held & ~wanted;
    for (uint32_t kept = others;; kept = (kept - 1) & others) {
      if (static_cast<uint32_t>(std::popcount(kept | wanted)) <= slots_) {
        most = std::max(most, MostHits(event + 1, kept | wanted));
      }
      if (kept == 0) break;
    }
    return known_[key] = hits + most;
  }

 private:
  const std::vector<Event>& events_;
  const uint32_t slots_;
  std::map<std::pair<size_t, uint32_t>, uint32_t> known_;
};

struct Named {
  const char* name;
  std::unique_ptr<CachePolicy> policy;
};

std::vector<Named> OnlinePolicies(uint32_t slots, const CacheReplay& replay) {
  std::vector<Named> policies;
  policies.push_back({"table", MakeTablePolicy(slots, replay.ids())});
  policies.push_back({"lru", MakeLru(slots, replay.blocks())});
  policies.push_back({"clock", MakeClock(slots, replay.blocks())});
  policies.push_back({"s3-fifo", MakeS3Fifo(slots, replay.blocks())});
  return policies;
}

double Optimum(uint32_t slots, const CacheReplay& replay) {
  return replay.HitRatio(*MakeOptimum(slots, replay.blocks(), replay.events()));
}

TEST(CachePolicy, TheOptimumIsWhatBruteForceFindsAndNoneIsBetter) {
  TestRandom random;
  const auto pick = [&](uint32_t below) {
    return static_cast<uint32_t>(random.Int(0, int64_t{below} - 1));
  };
  for (int round = 0; round < 300; ++round) {
    const uint32_t slots = 1 + pick(4), blocks = 2 + pick(6);
    std::vector<Event> events;
    for (uint32_t i = 0; i < 14; ++i) {
      const uint32_t kind = pick(10);
      Event event{kind == 0 ? AccessKind::kDiscard : AccessKind::kFetch, {pick(blocks)}};
      if (kind == 1) event.kind = AccessKind::kSeal;
      const uint32_t more = event.kind == AccessKind::kFetch ? pick(slots) : 0;
      for (uint32_t j = 0; j < more; ++j) event.blocks.push_back(pick(blocks));  // some twice
      events.push_back(std::move(event));
    }
    events.push_back({AccessKind::kFetch, {pick(blocks)}});
    // A block is sealed once: a second seal would be a hit that the optimum does not plan for.
    std::vector<bool> known(blocks);
    std::erase_if(events, [&](const Event& event) {
      if (event.kind == AccessKind::kSeal && known[event.blocks[0]]) return true;
      for (const uint32_t block : event.blocks) known[block] = true;
      return false;
    });
    const CacheReplay replay(LogOf(events));
    ASSERT_LE(replay.widest(), slots);
    const double most = static_cast<double>(BruteForce(events, slots).MostHits());
    const double optimum = Optimum(slots, replay);
    ASSERT_DOUBLE_EQ(optimum, most / static_cast<double>(replay.fetched())) << "round " << round;
    for (const Named& online : OnlinePolicies(slots, replay)) {
      ASSERT_LE(replay.HitRatio(*online.policy), optimum + 1e-12) << online.name;
    }
  }
}

std::vector<Event> Fetches(const std::vector<std::vector<uint32_t>>& batches) {
  std::vector<Event> events;
  for (const auto& batch : batches) events.push_back({AccessKind::kFetch, batch});
  return events;
}

double Hits(const CacheReplay& replay, CachePolicy& policy) {
  return replay.HitRatio(policy) * static_cast<double>(replay.fetched());
}

TEST(CachePolicy, LruForgetsWhatWasUnusedForLongest) {
  const CacheReplay replay(LogOf(Fetches({{0}, {1}, {2}, {0}, {3}, {0}, {1}})));
  EXPECT_EQ(Hits(replay, *MakeLru(3, replay.blocks())), 2);  // 0 twice; 1 went for 3
}

TEST(CachePolicy, ClockGivesWhatWasUsedASecondRound) {
  const CacheReplay replay(LogOf(Fetches({{0}, {1}, {2}, {0}, {3}, {0}, {2}, {1}})));
  EXPECT_EQ(Hits(replay, *MakeClock(3, replay.blocks())), 3);  // 0 twice and 2; 1 went for 3
}

TEST(CachePolicy, S3FifoBringsGhostsToTheMainQueue) {
  // With ten slots the small queue is one: 0 leaves as a ghost, returns to main and outlives a
  // scan that least recently used would not.
  std::vector<std::vector<uint32_t>> batches;
  for (uint32_t i = 0; i <= 10; ++i) batches.push_back({i});
  batches.push_back({0});
  for (uint32_t i = 11; i < 40; ++i) batches.push_back({i});
  batches.push_back({0});
  const CacheReplay replay(LogOf(Fetches(batches)));
  EXPECT_EQ(Hits(replay, *MakeS3Fifo(10, replay.blocks())), 1);
  EXPECT_EQ(Hits(replay, *MakeLru(10, replay.blocks())), 0);
}

TEST(CachePolicy, BlocksOfOneAccessDoNotEvictEachOther) {
  std::vector<std::vector<uint32_t>> batches;
  for (uint32_t round = 0; round < 20; ++round) {
    batches.push_back({round % 7, (round + 3) % 7, (round + 5) % 7});
    batches.push_back(batches.back());  // all of it must be there
  }
  const CacheReplay replay(LogOf(Fetches(batches)));
  auto policies = OnlinePolicies(3, replay);
  policies.push_back({"optimum", MakeOptimum(3, replay.blocks(), replay.events())});
  for (const Named& each : policies) EXPECT_GE(Hits(replay, *each.policy), 60) << each.name;
}

TEST(CacheReplay, CountsFetchesOnceAndSealsNever) {
  const CacheReplay replay(LogOf({{AccessKind::kSeal, {4}},
                                  {AccessKind::kFetch, {4, 2, 4, 4}},
                                  {AccessKind::kDiscard, {3}},
                                  {AccessKind::kFetch, {4, 2}}}));
  EXPECT_EQ(replay.fetched(), 4u);
  EXPECT_EQ(replay.blocks(), 2u);
  EXPECT_EQ(replay.widest(), 2u);
  for (const Named& online : OnlinePolicies(3, replay)) {
    EXPECT_EQ(Hits(replay, *online.policy), 2) << online.name;  // 4 as sealed, 2 at last
  }
}

}  // namespace
}  // namespace cairn
