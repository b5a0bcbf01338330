// TieredStore::ReadAhead: a hint that helps if there is room, and never harms.
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
constexpr uint32_t kHostSlots = 16;
constexpr uint32_t kMostAhead = kHostSlots / 4;

class ReadAhead : public testing::TestWithParam<bool> {
 protected:
  ReadAhead() : cold_(memory_) {}

  void SetUp() override { ASSERT_GOOD(WriteAll(memory_, BlocksOf(1, 0, 60, 1, 1), kPayloadBytes)); }

  TieredStoreOptions Options() const {
    return {.payload_bytes = kPayloadBytes,
            .host_bytes = kHostSlots * kSlotBytes,
            .compute_bytes = GetParam() ? kHostSlots * kSlotBytes : 0,
            .min_pinned_blocks = kHostSlots - 1};
  }
  void Open(size_t queue_limit = 2) {
    auto ahead = std::make_unique<ManualExecutor>(queue_limit);
    ahead_ = ahead.get();
    store_ =
        TieredStore::Open(Options(), cold_, std::make_unique<ThreadExecutor>(4), std::move(ahead))
            .value();
  }
  Status FetchRight(const std::vector<BlockId>& ids) {
    CAIRN_TRY(const Pins pins, store_->Fetch(ids));
    for (size_t i = 0; i < ids.size(); ++i) {
      const auto expected = PayloadOf(ids[i], kPayloadBytes);
      EXPECT_EQ(std::memcmp(pins.payloads()[i], expected.data(), kPayloadBytes), 0)
          << ToString(ids[i]);
    }
    return Ok();
  }
  uint64_t reads() const { return cold_.calls(ColdOperation::kReadBlocks); }
  uint64_t AheadBlocks() const {
    const auto reports = store_->Report();
    return reports[reports.size() - 2].ahead_blocks;  // host
  }

  MemoryColdStore memory_;
  FaultyColdStore cold_;
  std::unique_ptr<TieredStore> store_;
  ManualExecutor* ahead_ = nullptr;  // the store's
};

TEST_P(ReadAhead, BringsBlocksBeforeTheyAreFetched) {
  Open();
  const std::vector<BlockId> ids = BlocksOf(1, 5, 3, 1, 1);
  std::vector<BlockId> twice = ids;
  twice.insert(twice.end(), ids.begin(), ids.end());
  store_->ReadAhead(twice);
  EXPECT_EQ(reads(), 0u);
  ASSERT_TRUE(ahead_->RunOne());
  EXPECT_EQ(reads(), 1u);
  EXPECT_EQ(AheadBlocks(), 3u);
  ASSERT_GOOD(FetchRight(ids));
  EXPECT_EQ(reads(), 1u);
  store_->ReadAhead(ids);
  EXPECT_EQ(ahead_->waiting(), 0u);  // all are there
  store_->ReadAhead({});
  EXPECT_EQ(ahead_->waiting(), 0u);
}

TEST_P(ReadAhead, TakesAQuarterOfTheTierAndTwoHints) {
  Open(2);
  store_->ReadAhead(BlocksOf(1, 0, 12, 1, 1));
  store_->ReadAhead(BlocksOf(1, 20, 1, 1, 1));
  store_->ReadAhead(BlocksOf(1, 30, 1, 1, 1));
  EXPECT_EQ(ahead_->waiting(), 2u);
  while (ahead_->RunOne()) {
  }
  EXPECT_EQ(AheadBlocks(), kMostAhead + 1);
}

TEST_P(ReadAhead, LeavesPinnedAndDirtyBlocksAlone) {
  Open();
  for (const BlockId& id : BlocksOf(2, 0, 4, 1, 1)) {
    ASSERT_GOOD(store_->Seal(id, PayloadOf(id, kPayloadBytes)));
  }
  const std::vector<BlockId> held = BlocksOf(1, 0, kHostSlots - 4, 1, 1);
  const Result<Pins> pins = store_->Fetch(held);
  ASSERT_GOOD(pins);
  store_->ReadAhead(BlocksOf(1, 40, 4, 1, 1));
  while (ahead_->RunOne()) {
  }
  if (!GetParam()) {
    EXPECT_EQ(AheadBlocks(), 0u);  // full of blocks that may not go
  }
  EXPECT_EQ(store_->DirtyBytes(2), 4 * kPayloadBytes);
  for (size_t i = 0; i < held.size(); ++i) {
    const auto expected = PayloadOf(held[i], kPayloadBytes);
    ASSERT_EQ(std::memcmp(pins.value().payloads()[i], expected.data(), kPayloadBytes), 0);
  }
  ASSERT_GOOD(FetchRight(BlocksOf(2, 0, 4, 1, 1)));
}

TEST_P(ReadAhead, AnErrorIsMetByTheFetchItself) {
  Open();
  const std::vector<BlockId> ids = BlocksOf(1, 5, 3, 1, 1);
  cold_.FailNth(ColdOperation::kReadBlocks, 1);
  store_->ReadAhead(ids);
  ASSERT_TRUE(ahead_->RunOne());
  EXPECT_EQ(AheadBlocks(), 0u);
  ASSERT_GOOD(FetchRight(ids));
  const BlockId bad{1, 50, 0, 0};
  cold_.Damage(bad);
  store_->ReadAhead({&bad, 1});
  ASSERT_TRUE(ahead_->RunOne());
  EXPECT_ERROR(store_->Fetch({&bad, 1}), Errc::kCorruption, ToString(bad));
  const BlockId gone{9, 0, 0, 0};
  store_->ReadAhead({&gone, 1});
  ASSERT_TRUE(ahead_->RunOne());
  EXPECT_ERROR(store_->Fetch({&gone, 1}), Errc::kNotFound, ToString(gone));
  ASSERT_GOOD(FetchRight(BlocksOf(1, 10, kHostSlots - 1, 1, 1)));  // no slot was lost
}

TEST_P(ReadAhead, ADiscardedBlockDoesNotComeBack) {
  Open();
  const BlockId id{2, 0, 0, 0};
  ASSERT_GOOD(store_->Seal(id, PayloadOf(id, kPayloadBytes)));
  ASSERT_GOOD(store_->Flush(2));
  ASSERT_GOOD(FetchRight(BlocksOf(1, 0, kHostSlots - 1, 1, 1)));
  ASSERT_GOOD(FetchRight(BlocksOf(1, 20, kHostSlots - 1, 1, 1)));  // it has left memory
  store_->ReadAhead({&id, 1});
  ASSERT_GOOD(store_->Discard(2, 0));
  while (ahead_->RunOne()) {
  }
  EXPECT_ERROR(store_->Fetch({&id, 1}), Errc::kNotFound, ToString(id));
  ASSERT_GOOD(store_->Seal(id, PayloadOf(id, kPayloadBytes)));
  ASSERT_GOOD(FetchRight({id}));
}

TEST_P(ReadAhead, CanBeSwitchedOff) {
  TieredStoreOptions options = Options();
  options.read_ahead = false;
  store_ = TieredStore::Open(options, cold_).value();
  store_->ReadAhead(BlocksOf(1, 5, 3, 1, 1));
  ASSERT_GOOD(FetchRight(BlocksOf(1, 5, 3, 1, 1)));
  EXPECT_EQ(reads(), 1u);
}

/// Hints on their own thread beside fetches that want the whole tier, seals, discards, and reads
/// that fail now and then: no hint may be the reason of an error.
TEST_P(ReadAhead, NeverHarmsWhatRunsBesideIt) {
  std::mt19937_64 random = SeededRandom();
  store_ = TieredStore::Open(Options(), memory_).value();
  uint32_t next = 0;
  for (int i = 0; i < 3000; ++i) {
    store_->ReadAhead(BlocksOf(1, Pick(random, 50), 6, 1, 1));
    if (Pick(random, 3) == 0) {
      const BlockId stale{7, Pick(random, 40), 0, 0};
      store_->ReadAhead({&stale, 1});
    }
    const uint32_t count = Pick(random, 4) == 0 ? kHostSlots - 1 : 1 + Pick(random, 6);
    TieredStore::Ticket ticket =
        store_->StartFetch(BlocksOf(1, Pick(random, 60 - kHostSlots), count, 1, 1));
    ASSERT_GOOD(ticket.Wait());
    const BlockId sealed{7, next++, 0, 0};
    ASSERT_GOOD(store_->Seal(sealed, PayloadOf(sealed, kPayloadBytes)));
    ASSERT_GOOD(FetchRight({sealed}));
    if (next == 40) {
      next = Pick(random, 40);
      ASSERT_GOOD(store_->Discard(7, next));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiers, ReadAhead, testing::Bool(),
                         [](const auto& info) { return info.param ? "Compute" : "HostOnly"; });

}  // namespace
}  // namespace cairn
