// The compute tier on a device: what it copies and when the host waits, and that nothing is read
// before it is there or overwritten while it is read. The device is tests/support/cuda_on_cpu, on
// which work runs as late, and streams as far apart, as waiting and events allow.
#include <algorithm>
#include <cstring>
#include <random>

#include "storage/block_table.h"
#include "storage/memory_cold_store.h"
#include "storage/tiered_store.h"
#include "store_fixture.h"
#include "tests/support/cuda_on_cpu/runtime.h"
#include "tests/support/cuda_on_cpu/thread_block.h"

namespace cairn {
namespace {

constexpr size_t kPayloadBytes = 240;
constexpr size_t kSlotBytes = 256 + BlockTable::kBytesPerSlot;

class DeviceTierTest : public testing::Test {
 protected:
  void SetUp() override { Open(20, 12, 6); }

  void Open(uint32_t host_slots, uint32_t compute_slots, size_t pinned) {
    store_.reset();
    auto store = TieredStore::Open({.payload_bytes = kPayloadBytes,
                                    .host_bytes = host_slots * kSlotBytes,
                                    .compute_bytes = compute_slots * kSlotBytes,
                                    .device = device_.get(),
                                    .min_pinned_blocks = pinned},
                                   cold_);
    ASSERT_GOOD(store);
    store_ = std::move(store).value();
  }

  void SealAll(const std::vector<BlockId>& ids) {
    for (const BlockId& id : ids) ASSERT_GOOD(store_->Seal(id, PayloadOf(id, kPayloadBytes)));
  }

  // Reads pinned blocks by the reader's stream, as a kernel would, and waits for it.
  void ExpectOnDevice(const Pins& pins, const std::vector<BlockId>& ids) {
    ASSERT_GOOD(store_->OrderAfterCopies(reader_));
    for (size_t i = 0; i < ids.size(); ++i) {
      ASSERT_GOOD(
          reader_.CopyToHost(back_.data() + i * kPayloadBytes, pins.payloads()[i], kPayloadBytes));
    }
    ASSERT_GOOD(reader_.Wait());
    for (size_t i = 0; i < ids.size(); ++i) {
      const auto expected = PayloadOf(ids[i], kPayloadBytes);
      EXPECT_EQ(std::memcmp(back_.data() + i * kPayloadBytes, expected.data(), kPayloadBytes), 0)
          << ToString(ids[i]);
    }
  }

  void FetchAndExpect(const std::vector<BlockId>& ids) {
    const auto pins = store_->Fetch(ids);
    ASSERT_GOOD(pins);
    ExpectOnDevice(pins.value(), ids);
  }

  std::unique_ptr<Device> device_ = Device::Open(0).value();
  DeviceStream reader_ = device_->MakeStream().value();
  PinnedBuffer back_ = device_->AllocatePinned(64 * kPayloadBytes).value();
  MemoryColdStore cold_;
  std::unique_ptr<TieredStore> store_;
};

TEST_F(DeviceTierTest, AMissIsOneBatchAndAHitIsNothing) {
  const std::vector<BlockId> ids = BlocksOf(1, 0, 3, 2, 1);
  SealAll(ids);
  const DeviceCounts before = device_->Counts();
  {
    const auto pins = store_->Fetch(ids);
    ASSERT_GOOD(pins);
    const DeviceCounts missed = device_->Counts();
    EXPECT_EQ(missed.copies - before.copies, 1u);
    EXPECT_EQ(missed.batched_blocks - before.batched_blocks, ids.size());
    EXPECT_EQ(missed.bytes_to_device - before.bytes_to_device, ids.size() * kPayloadBytes);
    EXPECT_EQ(missed.waits, before.waits);
    ExpectOnDevice(pins.value(), ids);
  }
  const cuda_on_cpu::RuntimeCounts seen = cuda_on_cpu::Counts();
  for (int i = 0; i < 10; ++i) ASSERT_GOOD(store_->Fetch(ids));
  EXPECT_EQ(cuda_on_cpu::Counts().copies, seen.copies);
  EXPECT_EQ(cuda_on_cpu::Counts().waits, seen.waits);
}

TEST_F(DeviceTierTest, BlocksOnDiskAreReadOnceAndCopiedOnce) {
  const std::vector<BlockId> ids = BlocksOf(1, 0, 6, 1, 1);
  SealAll(ids);
  ASSERT_GOOD(store_->Flush(0));
  Open(20, 12, 6);
  const DeviceCounts before = device_->Counts();
  FetchAndExpect(ids);
  EXPECT_EQ(cold_.Stats().bytes_read, ids.size() * kPayloadBytes);
  EXPECT_EQ(device_->Counts().batched_blocks - before.batched_blocks, ids.size());
  FetchAndExpect(ids);
  EXPECT_EQ(cold_.Stats().bytes_read, ids.size() * kPayloadBytes);
}

TEST_F(DeviceTierTest, WhatIsBeingCopiedStaysInTheHostTier) {
  // The host tier has three slots: each fetch needs those that the copy before it reads from.
  const std::vector<BlockId> ids = BlocksOf(1, 0, 12, 1, 1);
  SealAll(ids);
  ASSERT_GOOD(store_->Flush(0));
  for (uint64_t seed = 0; seed < 40; ++seed) {
    cuda_on_cpu::SetOrderSeed(seed);
    Open(3, 8, 2);
    std::vector<Pins> all;
    for (size_t i = 0; i < 8; i += 2) {
      auto pins = store_->Fetch({ids.data() + i, 2});
      ASSERT_GOOD(pins);
      all.push_back(std::move(pins).value());
    }
    for (size_t i = 0; i < 8; i += 2) ExpectOnDevice(all[i / 2], {ids[i], ids[i + 1]});
  }
}

TEST_F(DeviceTierTest, SlotsAreFilledAnewOnlyAfterTheirPinsAreGone) {
  Open(8, 4, 4);
  const std::vector<BlockId> ids = BlocksOf(1, 0, 12, 1, 1);
  SealAll(ids);
  for (uint64_t seed = 0; seed < 40; ++seed) {
    cuda_on_cpu::SetOrderSeed(seed);
    const std::vector<BlockId> held = {ids[seed % 12], ids[(seed + 1) % 12]};
    const auto pins = store_->Fetch(held);
    ASSERT_GOOD(pins);
    for (size_t i = 2; i < 10; i += 2) {
      FetchAndExpect({ids[(seed + i) % 12], ids[(seed + i + 1) % 12]});
    }
    ExpectOnDevice(pins.value(), held);
  }
}

TEST_F(DeviceTierTest, SealingAndDiscardingGoOnBesideCopies) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    cuda_on_cpu::SetOrderSeed(seed);
    Open(4, 3, 3);
    const std::vector<BlockId> ids = BlocksOf(seed + 1, 0, 8, 1, 1);
    SealAll(ids);
    ASSERT_GOOD(store_->Fetch({ids.data(), 3}));
    const std::vector<BlockId> more = BlocksOf(seed + 100, 0, 8, 1, 1);
    SealAll(more);  // takes the slots that the copy reads from
    FetchAndExpect({more.begin(), more.begin() + 3});
    ASSERT_GOOD(store_->Fetch({ids.data() + 4, 3}));
    ASSERT_GOOD(store_->Discard(seed + 1, 2));
    FetchAndExpect({ids[0], ids[1]});
    EXPECT_FALSE(store_->Fetch({ids.data() + 2, 1}).has_value());
  }
}

// Tiers that just hold a fetch: a slot that stayed in use would be missing, and one that was given
// back too early would be filled twice.
TEST_F(DeviceTierTest, AFetchThatFailsLeavesNothingInUse) {
  const std::vector<BlockId> ids = BlocksOf(1, 0, 12, 1, 1);
  SealAll(ids);
  ASSERT_GOOD(store_->Flush(0));
  int failures = 0;
  for (int call = 1; call < 60; ++call) {
    cuda_on_cpu::SetOrderSeed(static_cast<uint64_t>(call));
    Open(3, 2, 2);
    cuda_on_cpu::FailCall(call);
    for (size_t i = 0; i < 12; ++i) {
      const std::vector<BlockId> wanted = {ids[i], ids[(i + 1) % 12]};
      const auto failed = store_->Fetch(wanted);
      if (failed.has_value()) continue;
      ++failures;
      EXPECT_EQ(failed.error().code, Errc::kIo) << failed.error().message;
      for (int again = 0; again < 2; ++again) FetchAndExpect(wanted);
    }
    cuda_on_cpu::FailCall(0);
    for (size_t i = 0; i < 12; i += 2) FetchAndExpect({ids[i], ids[i + 1]});
  }
  EXPECT_GT(failures, 20);
}

TEST_F(DeviceTierTest, PinsAreJoinedAndLetGoOneByOne) {
  const std::vector<BlockId> ids = BlocksOf(1, 0, 20, 1, 1);
  SealAll(ids);
  Pins held;
  for (size_t i = 0; i < 9; i += 3) {
    auto more = store_->Fetch({ids.data() + i, 3}).value();
    held.Append(std::move(more));
  }
  ExpectOnDevice(held, {ids.begin(), ids.begin() + 9});
  EXPECT_EQ(store_->top_slots().available, 3u);

  held.Filter(std::vector<uint8_t>{0, 1, 1, 0, 0, 1, 0, 0, 1});
  const std::vector<BlockId> kept = {ids[1], ids[2], ids[5], ids[8]};
  ASSERT_EQ(held.payloads().size(), kept.size());
  const TieredStore::TopSlots slots = store_->top_slots();
  EXPECT_EQ(slots.count, 12u);
  EXPECT_EQ(slots.available, 8u);
  for (const std::byte* payload : held.payloads()) {
    const auto at = static_cast<size_t>(payload - slots.first);
    EXPECT_EQ(at % slots.slot_bytes, 0u);
    EXPECT_LT(at / slots.slot_bytes, slots.count);
  }
  EXPECT_FALSE(store_->Fetch({ids.data() + 9, 9}).has_value());
  FetchAndExpect({ids.begin() + 9, ids.begin() + 17});  // in all slots that are left
  ExpectOnDevice(held, kept);
  held.Filter(std::vector<uint8_t>(4, 1));
  ExpectOnDevice(held, kept);
  held.Filter(std::vector<uint8_t>(4, 0));
  EXPECT_EQ(store_->top_slots().available, 12u);
}

TEST_F(DeviceTierTest, UsesOfPinsAreHitsOfTheFastestTier) {
  const std::vector<BlockId> ids = BlocksOf(1, 0, 6, 1, 1);
  SealAll(ids);
  const Pins held = store_->Fetch(ids).value();
  const std::vector<TierReport> before = store_->Report();
  const cuda_on_cpu::RuntimeCounts seen = cuda_on_cpu::Counts();
  store_->Use(held, std::vector<uint32_t>{0, 5, 3, 5, 0, 0, 1});
  store_->Use(held, {});
  const std::vector<TierReport> after = store_->Report();
  EXPECT_EQ(after[0].fetched_blocks - before[0].fetched_blocks, 7u);
  EXPECT_EQ(after[0].hit_blocks - before[0].hit_blocks, 7u);
  EXPECT_EQ(after[1].fetched_blocks, before[1].fetched_blocks);
  EXPECT_EQ(cuda_on_cpu::Counts().copies, seen.copies);
  EXPECT_EQ(cuda_on_cpu::Counts().waits, seen.waits);
}

// Twelve slots of four layers' blocks: those that were used many times are there before the others,
// and are there still after four of the twelve have gone.
TEST_F(DeviceTierTest, WhatWasUsedWhilePinnedGoesLast) {
  const std::vector<BlockId> ids = BlocksOf(1, 0, 6, 4, 1);
  std::vector<BlockId> used, once, more;
  for (const BlockId& id : ids)
    (id.ordinal == 0 ? used : id.ordinal < 3 ? once : more).push_back(id);
  SealAll(ids);
  Pins pins[2];
  for (const BlockId& id : used) pins[0].Append(store_->Fetch({&id, 1}).value());
  for (const BlockId& id : once) pins[1].Append(store_->Fetch({&id, 1}).value());
  for (int turn = 0; turn < 5; ++turn) {
    for (uint32_t place = 0; place < used.size(); ++place) store_->Use(pins[0], {&place, 1});
  }
  std::vector<int32_t> ways[2] = {std::vector<int32_t>(used.size()),
                                  std::vector<int32_t>(once.size())};
  for (const int i : {0, 1}) store_->Ways(pins[i], ways[i]);
  EXPECT_LT(*std::ranges::max_element(ways[0]), *std::ranges::min_element(ways[1]));
  for (Pins& held : pins) held = Pins();
  for (size_t i = 0; i < 4; ++i) ASSERT_GOOD(store_->Fetch({&more[i], 1}));
  std::vector<StoreTier> tiers(used.size());
  store_->Locate(used, tiers);
  EXPECT_EQ(std::ranges::count(tiers, StoreTier::kCompute), std::ssize(used));
  tiers.resize(once.size());
  store_->Locate(once, tiers);
  EXPECT_EQ(std::ranges::count(tiers, StoreTier::kCompute), std::ssize(once) - 4);
}

TEST_F(DeviceTierTest, PayloadsCanBeReadOnTheHostToo) {
  const std::vector<BlockId> ids = BlocksOf(1, 0, 6, 1, 1);
  SealAll(ids);
  FetchAndExpect(ids);
  Pins held;
  {
    auto pins = store_->FetchToHost(ids);
    ASSERT_GOOD(pins);
    held = std::move(pins).value();
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto expected = PayloadOf(ids[i], kPayloadBytes);
    EXPECT_EQ(std::memcmp(held.payloads()[i], expected.data(), kPayloadBytes), 0);
  }
  EXPECT_ERROR(store_->Discard(1, 0), Errc::kBusy, "while it is in use");
  held = Pins();
  ASSERT_GOOD(store_->Discard(1, 0));
}

TEST_F(DeviceTierTest, ATierTooLargeForTheDeviceSaysWhatIsFree) {
  const size_t before = cuda_on_cpu::Leftovers();
  cuda_on_cpu::SetMemory(1 << 20);
  const auto store = TieredStore::Open({.payload_bytes = kPayloadBytes,
                                        .host_bytes = 20 * kSlotBytes,
                                        .compute_bytes = 2 << 20,
                                        .device = device_.get()},
                                       cold_);
  cuda_on_cpu::SetMemory(size_t{64} << 20);
  EXPECT_ERROR(store, Errc::kResource, "cuda:0 has ");
  EXPECT_EQ(cuda_on_cpu::Leftovers(), before);
}

}  // namespace
}  // namespace cairn
