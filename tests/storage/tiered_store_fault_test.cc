// A TieredStore over a cold tier that fails, lies or is full.
#include <cstring>
#include <thread>

#include "storage/block_table.h"
#include "storage/faulty_cold_store.h"
#include "storage/memory_cold_store.h"
#include "storage/tiered_store.h"
#include "store_fixture.h"

namespace cairn {
namespace {

constexpr size_t kPayloadBytes = 240;
constexpr size_t kSlotBytes = 256 + BlockTable::kBytesPerSlot;
constexpr uint32_t kHostSlots = 8;

class TieredStoreFaults : public testing::TestWithParam<bool> {
 protected:
  std::unique_ptr<TieredStore> Open(ColdStore& cold) const {
    const TieredStoreOptions options{.payload_bytes = kPayloadBytes,
                                     .host_bytes = kHostSlots * kSlotBytes,
                                     .compute_bytes = GetParam() ? kHostSlots * kSlotBytes : 0,
                                     .min_pinned_blocks = 4};
    return std::move(TieredStore::Open(options, cold)).value();
  }
};

Status SealBlock(TieredStore& store, const BlockId& id) {
  return store.Seal(id, PayloadOf(id, kPayloadBytes));
}

Status FetchRight(TieredStore& store, const std::vector<BlockId>& ids) {
  CAIRN_TRY(const Pins pins, store.Fetch(ids));
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto expected = PayloadOf(ids[i], kPayloadBytes);
    EXPECT_EQ(std::memcmp(pins.payloads()[i], expected.data(), kPayloadBytes), 0)
        << ToString(ids[i]);
  }
  return Ok();
}

/// Nothing is pinned: a fetch of as many blocks as the fastest tier has slots succeeds.
void ExpectNothingPinned(TieredStore& store) {
  ASSERT_GOOD(FetchRight(store, BlocksOf(1, 0, kHostSlots, 1, 1)));
}

/// A walk through everything a store does; the first error ends it.
Status Walk(TieredStore& store) {
  for (const BlockId& id : BlocksOf(2, 0, 12, 1, 1)) CAIRN_TRY(SealBlock(store, id));
  CAIRN_TRY(FetchRight(store, BlocksOf(2, 0, 4, 1, 1)));
  CAIRN_TRY(store.Flush(2));
  CAIRN_TRY(FetchRight(store, BlocksOf(1, 10, 4, 1, 1)));
  TieredStore::Ticket ticket = store.StartFetch(BlocksOf(1, 20, 3, 1, 1));
  CAIRN_TRY(FetchRight(store, BlocksOf(2, 5, 4, 1, 1)));
  CAIRN_TRY(ticket.Wait());
  CAIRN_TRY(store.Discard(2, 6));
  return FetchRight(store, BlocksOf(2, 2, 4, 1, 1));
}

TEST_P(TieredStoreFaults, EveryOperationMayFailAndNothingIsLost) {
  bool passed = false;
  uint64_t nth = 1;
  for (; !passed; ++nth) {
    ASSERT_LT(nth, 100u);
    MemoryColdStore memory;
    ASSERT_GOOD(WriteAll(memory, BlocksOf(1, 0, 30, 1, 1), kPayloadBytes));
    FaultyColdStore cold(memory);
    const auto store = Open(cold);
    cold.FailNth(ColdOperation::kAny, nth);
    const Status status = Walk(*store);
    passed = cold.Armed();
    if (passed) {
      ASSERT_GOOD(status);
    } else {
      EXPECT_ERROR(status, Errc::kIo, "as the test ordered");
    }
    cold.Heal();
    ExpectNothingPinned(*store);
    // Whatever was sealed is still there, or was discarded.
    ASSERT_GOOD(store->Flush(0));
    for (const BlockId& id : BlocksOf(2, 0, 6, 1, 1)) {
      const Status found = FetchRight(*store, {id});
      if (!found) {
        EXPECT_EQ(found.error().code, Errc::kNotFound);
      }
    }
    ASSERT_GOOD(store->Discard(2, 0));
    ASSERT_GOOD(Walk(*store));
  }
  EXPECT_GT(nth, 8u);
}

TEST_P(TieredStoreFaults, AFailedFlushKeepsBlocksInMemory) {
  MemoryColdStore memory;
  FaultyColdStore cold(memory);
  const auto store = Open(cold);
  cold.FailNth(ColdOperation::kWriteBlocks, 1);
  for (const BlockId& id : BlocksOf(2, 0, 3, 1, 1)) ASSERT_GOOD(SealBlock(*store, id));
  EXPECT_ERROR(store->Flush(2), Errc::kIo, "WriteBlocks");
  EXPECT_EQ(store->DirtyBytes(2), 3 * kPayloadBytes);
  ASSERT_GOOD(FetchRight(*store, BlocksOf(2, 0, 3, 1, 1)));
  ASSERT_GOOD(store->Flush(2));
  EXPECT_EQ(store->DirtyBytes(2), 0u);
}

TEST_P(TieredStoreFaults, AFullDiskStopsSealingAndLosesNothing) {
  MemoryColdStore memory;
  FaultyColdStore cold(memory);
  const auto store = Open(cold);
  cold.LimitSpace(0);
  for (const BlockId& id : BlocksOf(2, 0, 4, 1, 1)) ASSERT_GOOD(SealBlock(*store, id));
  EXPECT_ERROR(SealBlock(*store, {2, 4, 0, 0}), Errc::kOutOfSpace, "no space left");
  EXPECT_EQ(store->DirtyBytes(2), 4 * kPayloadBytes);
  ASSERT_GOOD(FetchRight(*store, BlocksOf(2, 0, 4, 1, 1)));
  cold.Heal();
  ASSERT_GOOD(SealBlock(*store, {2, 4, 0, 0}));
  ASSERT_GOOD(store->Flush(2));
  ASSERT_GOOD(FetchRight(*store, BlocksOf(2, 1, 4, 1, 1)));
}

TEST_P(TieredStoreFaults, ADamagedBlockIsNamedAndNothingIsPinned) {
  MemoryColdStore memory;
  ASSERT_GOOD(WriteAll(memory, BlocksOf(1, 0, 30, 1, 1), kPayloadBytes));
  FaultyColdStore cold(memory);
  const auto store = Open(cold);
  const BlockId bad{1, 12, 0, 0};
  cold.Damage(bad);
  EXPECT_ERROR(store->Fetch(BlocksOf(1, 10, 4, 1, 1)), Errc::kCorruption, ToString(bad));
  ASSERT_GOOD(FetchRight(*store, {{1, 10, 0, 0}, {1, 11, 0, 0}, {1, 13, 0, 0}}));
  EXPECT_ERROR(store->StartFetch({&bad, 1}).Wait(), Errc::kCorruption, ToString(bad));
  ExpectNothingPinned(*store);
  cold.Heal();
  ASSERT_GOOD(FetchRight(*store, BlocksOf(1, 10, 4, 1, 1)));
}

TEST_P(TieredStoreFaults, ConcurrentFetchesSurviveEachOthersFailures) {
  MemoryColdStore memory;
  ASSERT_GOOD(WriteAll(memory, BlocksOf(1, 0, 30, 1, 1), kPayloadBytes));
  FaultyColdStore cold(memory);
  const auto store = Open(cold);
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      for (int i = 0; i < 500; ++i) {
        if (t == 0 && i % 3 == 0) cold.FailNth(ColdOperation::kReadBlocks, 1 + Pick(random, 2));
        const Status status = FetchRight(*store, BlocksOf(1, Pick(random, 20), 3, 1, 1));
        if (!status) {
          EXPECT_EQ(status.error().code, Errc::kIo) << status.error().message;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  cold.Heal();
  ExpectNothingPinned(*store);
}

INSTANTIATE_TEST_SUITE_P(Tiers, TieredStoreFaults, testing::Bool(),
                         [](const auto& info) { return info.param ? "Compute" : "HostOnly"; });

}  // namespace
}  // namespace cairn
