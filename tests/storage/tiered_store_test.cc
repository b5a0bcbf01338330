#include "storage/tiered_store.h"

#include <cstring>
#include <set>
#include <thread>

#include "storage/block_table.h"
#include "storage/faulty_cold_store.h"
#include "storage/memory_cold_store.h"
#include "store_fixture.h"

namespace cairn {
namespace {

constexpr size_t kPayloadBytes = 240;
constexpr size_t kSlotBytes = 256 + BlockTable::kBytesPerSlot;

TieredStoreOptions Budget(uint32_t host_slots, uint32_t compute_slots, size_t pinned) {
  return {.payload_bytes = kPayloadBytes,
          .host_bytes = host_slots * kSlotBytes,
          .compute_bytes = compute_slots * kSlotBytes,
          .min_pinned_blocks = pinned};
}

std::unique_ptr<TieredStore> OpenTiers(const TieredStoreOptions& options, ColdStore& cold) {
  Result<std::unique_ptr<TieredStore>> store = TieredStore::Open(options, cold);
  EXPECT_TRUE(store.has_value()) << store.error().message;
  return std::move(store).value();
}

Status SealBlock(TieredStore& store, const BlockId& id, uint64_t version = 0) {
  return store.Seal(id, PayloadOf(id, kPayloadBytes, version));
}

void ExpectPinned(const Result<Pins>& pins, const std::vector<BlockId>& ids) {
  ASSERT_GOOD(pins);
  ASSERT_EQ(pins.value().payloads().size(), ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::vector<std::byte> expected = PayloadOf(ids[i], kPayloadBytes);
    EXPECT_EQ(std::memcmp(pins.value().payloads()[i], expected.data(), kPayloadBytes), 0)
        << ToString(ids[i]);
  }
}

TEST(TieredStoreOptions, SaysTheLeastBudgetThatWorks) {
  for (const uint32_t pinned : {0u, 1u, 5u, 100u}) {
    TieredStoreOptions options = Budget(std::max(2u, pinned + 1), std::max(1u, pinned), pinned);
    EXPECT_TRUE(options.Validate().has_value());
    const std::string least = std::to_string(options.host_bytes) + " bytes";
    --options.host_bytes;
    EXPECT_ERROR(options.Validate(), Errc::kResource, "at least " + least);
    ++options.host_bytes;
    const std::string compute = std::to_string(options.compute_bytes) + " bytes";
    --options.compute_bytes;
    EXPECT_ERROR(options.Validate(), Errc::kResource, "at least " + compute);
  }
  EXPECT_ERROR(TieredStoreOptions().Validate(), Errc::kInvalidArgument, "payload");
}

class TieredStoreTest : public testing::TestWithParam<bool> {
 protected:
  /// With the parameter: a compute tier of `compute_slots`.
  TieredStoreOptions Options(uint32_t host_slots, uint32_t compute_slots, size_t pinned) const {
    return Budget(host_slots, GetParam() ? compute_slots : 0, pinned);
  }
};

TEST_P(TieredStoreTest, FetchesWhatWasSealedBeforeAndAfterAFlush) {
  MemoryColdStore cold;
  const std::vector<BlockId> ids = BlocksOf(1, 0, 3, 2, 1);
  {
    const auto store = OpenTiers(Options(20, 20, 6), cold);
    for (const BlockId& id : ids) ASSERT_GOOD(SealBlock(*store, id));
    EXPECT_EQ(store->DirtyBytes(), 6 * kPayloadBytes);
    EXPECT_EQ(store->DirtyBytes(1), 6 * kPayloadBytes);
    EXPECT_EQ(store->DirtyBytes(2), 0u);
    ExpectPinned(store->Fetch(ids), ids);
    ASSERT_GOOD(store->Flush(1));
    EXPECT_EQ(store->DirtyBytes(), 0u);
    ExpectPinned(store->Fetch(ids), ids);
    EXPECT_EQ(cold.Stats().bytes_read, 0u);
  }
  const auto store = OpenTiers(Options(20, 20, 6), cold);
  std::vector<BlockId> twice = ids;
  twice.insert(twice.end(), ids.rbegin(), ids.rend());
  ExpectPinned(store->Fetch(twice), twice);
  EXPECT_EQ(cold.Stats().bytes_read, 6 * kPayloadBytes);
}

TEST_P(TieredStoreTest, SealChecksItsBlock) {
  MemoryColdStore cold;
  const auto store = OpenTiers(Options(10, 4, 2), cold);
  EXPECT_ERROR(store->Seal({1, 2, 3, 4}, std::vector<std::byte>(7)), Errc::kInvalidArgument,
               "extent 1 block 2 layer 3 head 4 has 7 bytes");
  ASSERT_GOOD(SealBlock(*store, {1, 0, 0, 0}));
  EXPECT_ERROR(SealBlock(*store, {1, 0, 0, 0}), Errc::kInvalidArgument, "sealed before");
}

TEST_P(TieredStoreTest, SealFlushesByItselfAtHalfOfTheHostTier) {
  MemoryColdStore memory;
  FaultyColdStore cold(memory);
  const auto store = OpenTiers(Options(10, 4, 2), cold);
  for (const BlockId& id : BlocksOf(1, 0, 5, 1, 1)) ASSERT_GOOD(SealBlock(*store, id));
  EXPECT_EQ(cold.calls(ColdOperation::kWriteBlocks), 0u);
  for (const BlockId& id : BlocksOf(1, 5, 95, 1, 1)) ASSERT_GOOD(SealBlock(*store, id));
  EXPECT_EQ(cold.calls(ColdOperation::kWriteBlocks), 19u);
  for (const BlockId& id : BlocksOf(1, 0, 100, 1, 1)) ExpectPinned(store->Fetch({&id, 1}), {id});
}

TEST_P(TieredStoreTest, PinnedBlocksStayWhileOthersComeAndGo) {
  MemoryColdStore cold;
  ASSERT_GOOD(WriteAll(cold, BlocksOf(1, 0, 100, 1, 1), kPayloadBytes));
  const auto store = OpenTiers(Options(6, 6, 4), cold);
  const std::vector<BlockId> held = BlocksOf(1, 7, 3, 1, 1);
  const Result<Pins> pins = store->Fetch(held);
  for (const BlockId& id : BlocksOf(1, 0, 100, 1, 1)) ExpectPinned(store->Fetch({&id, 1}), {id});
  ExpectPinned(pins, held);
}

TEST_P(TieredStoreTest, TooManyPinsAreAnErrorThatHarmsNothing) {
  MemoryColdStore cold;
  ASSERT_GOOD(WriteAll(cold, BlocksOf(1, 0, 100, 1, 1), kPayloadBytes));
  const auto store = OpenTiers(Options(6, 6, 4), cold);
  EXPECT_ERROR(store->Fetch(BlocksOf(1, 0, 7, 1, 1)), Errc::kResource, "of its 6 slots");
  const std::vector<BlockId> four = BlocksOf(1, 0, 4, 1, 1);
  Result<Pins> pins = store->Fetch(four);
  EXPECT_ERROR(store->Fetch(BlocksOf(1, 3, 4, 1, 1)), Errc::kResource, "raise its budget");
  ExpectPinned(store->Fetch(BlocksOf(1, 3, 3, 1, 1)), BlocksOf(1, 3, 3, 1, 1));
  ExpectPinned(pins, four);
  pins = Pins();
  ExpectPinned(store->Fetch(BlocksOf(1, 50, 6, 1, 1)), BlocksOf(1, 50, 6, 1, 1));
}

TEST_P(TieredStoreTest, FetchMakesRoomFromDirtyBlocks) {
  MemoryColdStore cold;
  ASSERT_GOOD(WriteAll(cold, BlocksOf(1, 0, 10, 1, 1), kPayloadBytes));
  const auto store = OpenTiers(Options(6, 6, 5), cold);
  for (const BlockId& id : BlocksOf(2, 0, 3, 1, 1)) ASSERT_GOOD(SealBlock(*store, id));
  ExpectPinned(store->Fetch(BlocksOf(1, 0, 5, 1, 1)), BlocksOf(1, 0, 5, 1, 1));
  EXPECT_EQ(store->DirtyBytes(), 0u);
  ExpectPinned(store->Fetch(BlocksOf(2, 0, 3, 1, 1)), BlocksOf(2, 0, 3, 1, 1));
}

TEST_P(TieredStoreTest, DiscardForgetsInAllTiers) {
  MemoryColdStore cold;
  const auto store = OpenTiers(Options(12, 12, 4), cold);
  for (const BlockId& id : BlocksOf(1, 0, 4, 1, 1)) ASSERT_GOOD(SealBlock(*store, id));
  ASSERT_GOOD(store->Flush(1));
  for (const BlockId& id : BlocksOf(1, 4, 3, 1, 1)) ASSERT_GOOD(SealBlock(*store, id));
  {
    const std::vector<BlockId> last = {{1, 6, 0, 0}};
    const Result<Pins> pins = store->Fetch(last);
    if (!GetParam()) {
      EXPECT_ERROR(store->Discard(1, 2), Errc::kBusy, "block 6");
    }
  }
  ASSERT_GOOD(store->Discard(1, 2));
  EXPECT_EQ(store->DirtyBytes(), 0u);
  for (const BlockId& id : BlocksOf(1, 2, 5, 1, 1)) {
    EXPECT_ERROR(store->Fetch({&id, 1}), Errc::kNotFound, ToString(id));
  }
  ExpectPinned(store->Fetch(BlocksOf(1, 0, 2, 1, 1)), BlocksOf(1, 0, 2, 1, 1));
  for (const BlockId& id : BlocksOf(1, 2, 5, 1, 1)) ASSERT_GOOD(SealBlock(*store, id));
  ASSERT_GOOD(store->Flush(1));
  ExpectPinned(store->Fetch(BlocksOf(1, 2, 4, 1, 1)), BlocksOf(1, 2, 4, 1, 1));
}

TEST_P(TieredStoreTest, TicketsAreReadyAtOnceForResidentBlocks) {
  MemoryColdStore cold;
  ASSERT_GOOD(WriteAll(cold, BlocksOf(1, 0, 10, 1, 1), kPayloadBytes));
  auto executor = std::make_unique<ManualExecutor>(2);
  ManualExecutor& manual = *executor;
  const auto store = TieredStore::Open(Options(12, 8, 4), cold, std::move(executor)).value();
  const std::vector<BlockId> ids = BlocksOf(1, 0, 4, 1, 1);
  TieredStore::Ticket first = store->StartFetch(ids);
  EXPECT_EQ(manual.waiting(), 1u);
  EXPECT_EQ(cold.Stats().bytes_read, 0u);
  manual.RunOne();
  ExpectPinned(first.Wait(), ids);
  TieredStore::Ticket second = store->StartFetch(ids);
  EXPECT_EQ(manual.waiting(), 0u);
  ExpectPinned(second.Wait(), ids);
}

TEST_P(TieredStoreTest, TicketsBeyondTheQueueAreServedByTheirCaller) {
  MemoryColdStore cold;
  ASSERT_GOOD(WriteAll(cold, BlocksOf(1, 0, 10, 1, 1), kPayloadBytes));
  auto executor = std::make_unique<ManualExecutor>(1);
  ManualExecutor& manual = *executor;
  const auto store = TieredStore::Open(Options(12, 8, 4), cold, std::move(executor)).value();
  const std::vector<BlockId> one = {{1, 1, 0, 0}}, two = {{1, 2, 0, 0}}, gone = {{3, 0, 0, 0}};
  TieredStore::Ticket queued = store->StartFetch(gone);
  TieredStore::Ticket own = store->StartFetch(two);
  const TieredStore::Ticket unused = store->StartFetch(one);
  EXPECT_EQ(manual.waiting(), 1u);
  ExpectPinned(own.Wait(), two);
  manual.RunOne();
  EXPECT_ERROR(queued.Wait(), Errc::kNotFound, "extent 3 block 0");
}

TEST_P(TieredStoreTest, TicketsRunOnTheStoresThread) {
  MemoryColdStore cold;
  ASSERT_GOOD(WriteAll(cold, BlocksOf(1, 0, 40, 1, 1), kPayloadBytes));
  const auto store = OpenTiers(Options(12, 8, 4), cold);
  for (uint32_t i = 0; i + 4 <= 40; i += 2) {
    const std::vector<BlockId> ids = BlocksOf(1, i, 3, 1, 1);
    TieredStore::Ticket ticket = store->StartFetch(ids);
    ExpectPinned(ticket.Wait(), ids);
    TieredStore::Ticket dropped = store->StartFetch(BlocksOf(1, i + 1, 3, 1, 1));
  }
  ExpectPinned(store->Fetch(BlocksOf(1, 0, 8, 1, 1)), BlocksOf(1, 0, 8, 1, 1));  // nothing pinned
}

TEST_P(TieredStoreTest, ReportsCountWhatMoved) {
  MemoryColdStore cold;
  ASSERT_GOOD(WriteAll(cold, BlocksOf(1, 0, 10, 1, 1), kPayloadBytes));
  const auto store = OpenTiers(Options(12, 8, 4), cold);
  const std::vector<BlockId> ids = BlocksOf(1, 0, 4, 1, 1);
  ExpectPinned(store->Fetch(ids), ids);
  ExpectPinned(store->Fetch(ids), ids);
  const std::vector<TierReport> reports = store->Report();
  ASSERT_EQ(reports.size(), GetParam() ? 3u : 2u);
  EXPECT_STREQ(reports.front().name, GetParam() ? "compute" : "host");
  EXPECT_EQ(reports.front().fetched_blocks, 8u);
  EXPECT_EQ(reports.front().hit_blocks, 4u);
  EXPECT_EQ(reports.front().bytes_in, 4 * kPayloadBytes);
  EXPECT_EQ(reports.front().latency_ns.count(), 1u);
  EXPECT_EQ(reports.front().held_bytes, 4 * kPayloadBytes);
  EXPECT_STREQ(reports.back().name, "cold");
  EXPECT_EQ(reports.back().fetched_blocks, 4u);
  EXPECT_EQ(reports.back().hit_blocks, 4u);
  EXPECT_EQ(reports.back().latency_ns.count(), 1u);
  for (const TierReport& report : reports) {
    if (report.capacity_bytes > 0) {
      EXPECT_LE(report.capacity_bytes, 12 * kPayloadBytes);
    }
  }
}

/// Random operations with tiny budgets against a plain map of what was sealed.
TEST_P(TieredStoreTest, AgreesWithAModel) {
  std::mt19937_64 random = SeededRandom();
  for (int round = 0; round < 6; ++round) {
    MemoryColdStore cold;
    auto store = OpenTiers(Options(5 + Pick(random, 20), 4 + Pick(random, 8), 4), cold);
    std::map<BlockId, uint64_t> sealed;  // id -> version of its payload
    uint32_t next[3] = {};
    uint64_t version = 0;
    for (int step = 0; step < 1500; ++step) {
      const uint64_t extent = 1 + Pick(random, 3);
      const uint32_t action = Pick(random, 100);
      if (action < 40) {
        const BlockId id{extent, next[extent - 1]++, 0, 0};
        ASSERT_GOOD(SealBlock(*store, id, ++version));
        sealed[id] = version;
      } else if (action < 90) {
        std::vector<BlockId> ids;
        bool absent = false;
        for (uint32_t i = Pick(random, 5); i > 0; --i) {
          ids.push_back({extent, Pick(random, next[extent - 1] + 1), 0, 0});
          absent = absent || !sealed.contains(ids.back());
        }
        const Result<Pins> pins = store->Fetch(ids);
        if (absent) {
          EXPECT_ERROR(pins, Errc::kNotFound, "extent");
          continue;
        }
        ASSERT_GOOD(pins);
        for (size_t i = 0; i < ids.size(); ++i) {
          const auto expected = PayloadOf(ids[i], kPayloadBytes, sealed[ids[i]]);
          ASSERT_EQ(std::memcmp(pins.value().payloads()[i], expected.data(), kPayloadBytes), 0);
        }
      } else if (action < 95) {
        ASSERT_GOOD(store->Flush(extent));
        EXPECT_EQ(store->DirtyBytes(extent), 0u);
      } else {
        const uint32_t from = Pick(random, next[extent - 1] + 1);
        ASSERT_GOOD(store->Discard(extent, from));
        sealed.erase(sealed.lower_bound({extent, from, 0, 0}),
                     sealed.lower_bound({extent + 1, 0, 0, 0}));
        next[extent - 1] = std::min(next[extent - 1], from);
      }
    }
  }
}

/// Several threads fetch overlapping blocks through a tier too small for all of them.
TEST_P(TieredStoreTest, ConcurrentFetchesAgreeAndReadEachBlockOnce) {
  MemoryColdStore cold;
  ASSERT_GOOD(WriteAll(cold, BlocksOf(1, 0, 200, 1, 1), kPayloadBytes));
  {
    const auto store = OpenTiers(Options(200, 200, 4), cold);
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (uint32_t i = 0; i < 200; i += 4) {
          const std::vector<BlockId> ids = BlocksOf(1, i, 4, 1, 1);
          ExpectPinned(store->Fetch(ids), ids);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(cold.Stats().bytes_read, 200 * kPayloadBytes);
  }
  const auto store = OpenTiers(Options(40, 30, 4), cold);
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      for (int i = 0; i < 300; ++i) {
        const uint64_t own = 10 + t;
        ASSERT_GOOD(SealBlock(*store, {own, static_cast<uint32_t>(i), 0, 0}));
        const std::vector<BlockId> ids = BlocksOf(1, Pick(random, 197), 3, 1, 1);
        TieredStore::Ticket ticket = store->StartFetch(ids);
        const std::vector<BlockId> mine = {{own, Pick(random, i + 1), 0, 0}};
        ExpectPinned(store->Fetch(mine), mine);
        ExpectPinned(ticket.Wait(), ids);
        if (i % 50 == 49) {
          ASSERT_GOOD(store->Flush(own));
        }
      }
      ASSERT_GOOD(store->Discard(10 + t, 100));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Tiers, TieredStoreTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Compute" : "HostOnly"; });

}  // namespace
}  // namespace cairn
