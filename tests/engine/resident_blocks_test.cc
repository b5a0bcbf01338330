// Blocks that a session holds on a device: which are there, where the table says that they lie, and
// who goes where there is no more room.
#include "engine/resident_blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "kernels/choice.h"
#include "storage/block_table.h"
#include "storage/memory_cold_store.h"
#include "storage/slab_pool.h"
#include "tests/engine/session_problem.h"
#include "tests/support/cuda_on_cpu/runtime.h"
#include "tests/support/cuda_on_cpu/thread_block.h"

namespace cairn {
namespace {

using Block = ResidentBlocks::Block;

constexpr size_t kPayloadBytes = 240;
constexpr int32_t kHeads = 2, kPartitions = 4;
constexpr uint32_t kBlocks = 200;  // of a partition
constexpr uint32_t kSlots = 40;    // on the device, five of which are left to others

std::vector<std::byte> PayloadOf(const Block& block) {
  std::vector<std::byte> payload(kPayloadBytes, static_cast<std::byte>(block.ordinal));
  std::memcpy(payload.data(), &block, sizeof(block));
  return payload;
}

// Ordinals [first, first + count) of a partition.
std::vector<Block> Ordinals(int32_t partition, int32_t first, int32_t count) {
  std::vector<Block> blocks;
  for (int32_t i = 0; i < count; ++i) blocks.push_back({partition, first + i});
  return blocks;
}

class ResidentBlocksTest : public testing::Test {
 protected:
  ResidentBlocksTest() {
    const uint64_t slot = SlabPool::SlotBytes(kPayloadBytes) + BlockTable::kBytesPerSlot;
    store_ = TieredStore::Open({.payload_bytes = kPayloadBytes,
                                .host_bytes = 100 * slot,
                                .compute_bytes = kSlots * slot,
                                .device = device_.get(),
                                .min_pinned_blocks = kSlots},
                               cold_)
                 .value();
    map_.Append({kExtent, 0, kBlocks});
    for (uint32_t ordinal = 0; ordinal < kBlocks; ++ordinal) {
      for (int32_t partition = 0; partition < kPartitions; ++partition) {
        const Block block = {partition, static_cast<int32_t>(ordinal)};
        const BlockId id = map_.Id(ordinal, partition / kHeads, partition % kHeads);
        EXPECT_TRUE(store_->Seal(id, PayloadOf(block)).has_value());
      }
    }
    resident_.emplace(kPartitions, kHeads, *store_);
    resident_->Take();
  }

  void Clear() {
    resident_->Rest();
    resident_->GiveBack();
    resident_->Take();
  }

  Status Fetch(const std::vector<Block>& blocks) { return resident_->Fetch(blocks, map_, stream_); }
  bool HasAll(const std::vector<Block>& blocks) const {
    return std::ranges::all_of(blocks, [&](const Block& block) { return resident_->Has(block); });
  }
  bool HasNone(const std::vector<Block>& blocks) const {
    return std::ranges::none_of(blocks, [&](const Block& block) { return resident_->Has(block); });
  }

  // The table has every block that is there, where its bytes are, and no other.
  void ExpectTable() {
    const auto stride = static_cast<size_t>(resident_->table_stride());
    const size_t bytes = kPartitions * stride * sizeof(uint32_t);
    PinnedBuffer table = device_->AllocatePinned(bytes).value();
    PinnedBuffer payload = device_->AllocatePinned(kPayloadBytes).value();
    ASSERT_GOOD(stream_.CopyToHost(table.data(),
                                   reinterpret_cast<const std::byte*>(resident_->table()), bytes));
    ASSERT_GOOD(stream_.Wait());
    const auto* const lies = reinterpret_cast<const uint32_t*>(table.data());
    int64_t there = 0;
    for (size_t place = 0; place < kPartitions * stride; ++place) {
      const Block block = {static_cast<int32_t>(place / stride),
                           static_cast<int32_t>(place % stride)};
      ASSERT_EQ(lies[place] != kAbsent, resident_->Has(block))
          << block.partition << ", " << block.ordinal;
      if (lies[place] == kAbsent) continue;
      ++there;
      ASSERT_LT(lies[place], kSlots);
      ASSERT_GOOD(stream_.CopyToHost(payload.data(),
                                     resident_->slots() + lies[place] * resident_->slot_bytes(),
                                     kPayloadBytes));
      ASSERT_GOOD(stream_.Wait());
      const auto expected = PayloadOf(block);
      ASSERT_EQ(std::memcmp(payload.data(), expected.data(), kPayloadBytes), 0)
          << block.partition << ", " << block.ordinal;
    }
    EXPECT_EQ(there, resident_->size());
  }

  static constexpr uint64_t kExtent = 7;
  std::unique_ptr<Device> device_ = Device::Open(0).value();
  DeviceStream stream_ = device_->MakeStream().value();
  MemoryColdStore cold_;
  std::unique_ptr<TieredStore> store_;
  BlockMap map_;
  std::optional<ResidentBlocks> resident_;
};

TEST_F(ResidentBlocksTest, WhatIsWantedTwiceIsFetchedOnce) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    cuda_on_cpu::SetOrderSeed(seed);
    Clear();
    ASSERT_GOOD(resident_->Reserve(kBlocks));
    const uint64_t before = store_->Report()[0].fetched_blocks;
    const std::vector<Block> wanted = {{0, 3}, {3, 199}, {0, 3}, {2, 0}, {3, 199}, {1, 64}};
    ASSERT_GOOD(Fetch(wanted));
    ExpectTable();
    EXPECT_EQ(resident_->size(), 4);
    EXPECT_TRUE(HasAll(wanted));
    EXPECT_EQ(store_->Report()[0].fetched_blocks - before, 4u);
    EXPECT_EQ(store_->top_slots().available, kSlots - 4);
  }
}

TEST_F(ResidentBlocksTest, ATableThatGrowsKeepsWhatIsThere) {
  ASSERT_GOOD(resident_->Reserve(10));
  EXPECT_FALSE(resident_->Has({0, 199}));
  const std::vector<Block> few = {{0, 0}, {0, 9}, {1, 9}, {3, 5}};
  ASSERT_GOOD(Fetch(few));
  ExpectTable();
  for (const int64_t blocks : {10, 65, 100, 200}) {
    ASSERT_GOOD(resident_->Reserve(blocks));
    EXPECT_GE(resident_->table_stride(), blocks);
    const uint64_t batches = cuda_on_cpu::Counts().batches;
    ASSERT_GOOD(Fetch(few));
    EXPECT_EQ(cuda_on_cpu::Counts().batches, batches) << "what was there is fetched again";
    ExpectTable();
    EXPECT_EQ(resident_->size(), 4);
  }
  for (int32_t partition = 0; partition < kPartitions; ++partition) {
    ASSERT_GOOD(Fetch({{partition, 199}}));
    ExpectTable();
  }
}

// A full table has its last ordinals in the last entries of each partition.
TEST_F(ResidentBlocksTest, TheNextBlockIsNotTheNextPartitionsFirst) {
  for (int64_t blocks = 1; blocks <= kBlocks; ++blocks) {
    ASSERT_GOOD(resident_->Reserve(blocks));
    const auto last = static_cast<int32_t>(blocks - 1);
    ASSERT_GOOD(Fetch({{0, last}}));
    ASSERT_TRUE(resident_->Has({0, last}));
    ASSERT_FALSE(resident_->Has({1, 0}));
    ASSERT_GOOD(stream_.Wait());
    Clear();
  }
}

TEST_F(ResidentBlocksTest, WhatIsExpectedLastGoesAndSomeRoomIsLeft) {
  ASSERT_GOOD(resident_->Reserve(kBlocks));
  const auto first = Ordinals(0, 0, 10), second = Ordinals(1, 0, 10), third = Ordinals(2, 0, 10);
  const auto fourth = Ordinals(3, 0, 10);
  for (const auto* const some : {&first, &second, &third}) {
    resident_->BeginTurn();
    ASSERT_GOOD(Fetch(*some));
    ExpectTable();
  }
  resident_->BeginTurn();
  resident_->Use(first);
  for (const Block& block : first) EXPECT_TRUE(resident_->Keep(block));
  EXPECT_FALSE(resident_->Keep(fourth[0]));
  ASSERT_GOOD(Fetch(fourth));
  ExpectTable();
  EXPECT_TRUE(HasNone(second)) << "their layer's turn is over, and did without them";
  EXPECT_TRUE(HasAll(first) && HasAll(third) && HasAll(fourth));
  EXPECT_GE(store_->top_slots().available, kSlots / 8);

  resident_->BeginTurn();
  resident_->Use(third);
  ASSERT_GOOD(Fetch(second));
  ExpectTable();
  EXPECT_TRUE(HasNone(fourth)) << "their layer's turn comes last";
  EXPECT_TRUE(HasAll(first) && HasAll(second) && HasAll(third));
}

// Least recently used would forget just what comes next.
TEST_F(ResidentBlocksTest, WhatIsUsedOftenStaysThoughOtherBlocksCameLater) {
  ASSERT_GOOD(resident_->Reserve(kBlocks));
  const std::vector<Block> often[] = {Ordinals(0, 0, 8), Ordinals(2, 0, 8)};
  for (int round = 0; round < 6; ++round) {
    for (const auto& blocks : often) {
      resident_->BeginTurn();
      resident_->Use(blocks);
      ASSERT_GOOD(Fetch(blocks));
      ASSERT_GOOD(stream_.Wait());
    }
  }
  for (int32_t round = 0; round < 3; ++round) {
    for (const int32_t partition : {0, 2}) {
      resident_->BeginTurn();
      ASSERT_GOOD(Fetch(Ordinals(partition, 20 + 6 * round, 6)));
      ExpectTable();
    }
  }
  EXPECT_TRUE(HasAll(often[0]) && HasAll(often[1]));
}

// Nine slots are free when another one fetches 20 blocks: it takes the place of those that were
// used once, though they came later.
TEST_F(ResidentBlocksTest, WhatWasUsedOftenIsThereStillWhenAnotherOneHasHadRoom) {
  ASSERT_GOOD(resident_->Reserve(kBlocks));
  const auto often = Ordinals(0, 0, 15), later = Ordinals(0, 50, 15);
  ASSERT_GOOD(Fetch(often));
  ASSERT_GOOD(stream_.Wait());
  for (int turn = 0; turn < 6; ++turn) {
    resident_->BeginTurn();
    resident_->Use(often);
    ASSERT_GOOD(Fetch(Ordinals(2, 0, 1)));
    ASSERT_GOOD(stream_.Wait());
  }
  ASSERT_GOOD(Fetch(later));
  ASSERT_GOOD(stream_.Wait());
  resident_->Rest();

  ResidentBlocks other(kPartitions, kHeads, *store_);
  other.Take();
  ASSERT_GOOD(other.Reserve(kBlocks));
  for (const int32_t partition : {1, 3}) {
    other.BeginTurn();
    ASSERT_GOOD(other.Fetch(Ordinals(partition, 100, 10), map_, stream_));
    ASSERT_GOOD(stream_.Wait());
  }
  EXPECT_EQ(resident_->size(), 0);
  EXPECT_EQ(other.size(), 20);
  other.Rest();

  resident_->Take();
  const uint64_t there = store_->Report()[0].bytes_in;
  ASSERT_GOOD(Fetch(often));
  EXPECT_EQ(store_->Report()[0].bytes_in, there) << "they were fetched again";
  ExpectTable();
}

TEST_F(ResidentBlocksTest, WhatATurnUsesStaysTogether) {
  ASSERT_GOOD(resident_->Reserve(kBlocks));
  const auto before = Ordinals(0, 0, 10), held = Ordinals(1, 0, 30), more = Ordinals(2, 0, 20);
  ASSERT_GOOD(Fetch(before));
  ExpectTable();
  resident_->BeginTurn();
  ASSERT_GOOD(Fetch(held));
  ExpectTable();
  EXPECT_TRUE(HasNone(before));
  EXPECT_ERROR(Fetch(more), Errc::kResource, "only 10 of its 40 slots are not in use");
  EXPECT_TRUE(HasAll(held));
  EXPECT_TRUE(HasNone(more));
  ExpectTable();
  resident_->BeginTurn();
  ASSERT_GOOD(Fetch(more));
  ExpectTable();
  EXPECT_TRUE(HasAll(more));
}

TEST_F(ResidentBlocksTest, AFetchThatFailsBringsNothingAndTheTableFollows) {
  const auto old = Ordinals(0, 0, 20), kept = Ordinals(1, 0, 10), wanted = Ordinals(2, 0, 20);
  int failures = 0;
  for (int call = 1;; ++call) {
    Clear();
    ASSERT_GOOD(resident_->Reserve(kBlocks));
    ASSERT_GOOD(Fetch(old));
    ASSERT_GOOD(stream_.Wait());
    resident_->BeginTurn();
    ASSERT_GOOD(Fetch(kept));
    ASSERT_GOOD(stream_.Wait());
    resident_->BeginTurn();
    for (const Block& block : kept) EXPECT_TRUE(resident_->Keep(block));
    cuda_on_cpu::FailCall(call);
    const Status fetched = Fetch(wanted);  // some must go first
    const bool due = cuda_on_cpu::FailureIsDue();
    cuda_on_cpu::FailCall(0);
    (void)stream_.Wait().has_value();
    if (due) {
      ASSERT_GOOD(fetched);
      break;
    }
    if (!fetched) ++failures;
    EXPECT_TRUE(HasAll(kept));
    ASSERT_GOOD(Fetch({}));  // tells of changes
    ExpectTable();
    ASSERT_GOOD(Fetch(wanted));
    ExpectTable();
    EXPECT_TRUE(HasAll(wanted) && HasAll(kept));
    if (HasFailure()) FAIL() << "after call " << call << " failed";
  }
  EXPECT_GT(failures, 3);
}

TEST_F(ResidentBlocksTest, BlocksThatAreAddedHaveRoomAlready) {
  for (const int64_t blocks : {1, 1000, 80'000}) {
    const uint64_t free_before = device_->FreeBytes().value();
    ResidentBlocks resident(kPartitions, kHeads, *store_);
    ASSERT_GOOD(resident.Reserve(blocks));
    EXPECT_EQ(free_before - device_->FreeBytes().value(),
              ResidentBlocks::TableBytes(kPartitions, blocks));
    const uint32_t* const table = resident.table();
    const int64_t room = std::max<int64_t>(64, blocks / 8);
    ASSERT_GOOD(resident.Reserve(blocks + room));
    EXPECT_EQ(resident.table(), table) << blocks;
    EXPECT_GE(resident.table_stride(), blocks + room);
    ASSERT_GOOD(resident.Reserve(blocks + room + 1));
    EXPECT_GE(resident.table_stride(), blocks + room + 1);
  }
}

TEST_F(ResidentBlocksTest, AtRestItGivesBackAllBlocks) {
  ASSERT_GOOD(resident_->Reserve(kBlocks));
  ASSERT_GOOD(Fetch(Ordinals(0, 0, 10)));
  ExpectTable();
  resident_->BeginTurn();
  ASSERT_GOOD(Fetch(Ordinals(1, 50, 10)));
  ExpectTable();
  EXPECT_FALSE(store_->holders().GiveBack()) << "they are in use";
  EXPECT_EQ(resident_->size(), 20);
  resident_->Rest();
  EXPECT_TRUE(store_->holders().GiveBack());
  EXPECT_FALSE(store_->holders().GiveBack());
  EXPECT_EQ(resident_->size(), 0);
  EXPECT_EQ(store_->top_slots().available, kSlots);
  ASSERT_GOOD(Fetch({}));
  ExpectTable();
}

}  // namespace
}  // namespace cairn
