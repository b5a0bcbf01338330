// A cold store whose blocks share payloads: each is read, and checked, as its own.
#include "bench/aliased_cold_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>

#include "tests/engine/session_problem.h"  // EXPECT_ERROR

namespace cairn {
namespace {

constexpr BlockGrid kGrid = {.layers = 2, .heads = 3, .payload_bytes = 40};
constexpr uint64_t kExtent = 7;
constexpr uint32_t kBlocks = 50, kDistinct = 4;

class AliasedColdStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::atomic<int> made = 0;
    store_.Alias(kExtent, kBlocks, kDistinct, [&](const BlockId& id, std::byte* payload) {
      ++made;
      std::fill_n(payload, kGrid.payload_bytes, Content(id));
      if (id == BlockId{kExtent, 1, 1, 2}) kept_ = payload;
    });
    EXPECT_EQ(made, static_cast<int>(kGrid.blocks() * kDistinct));
  }
  static std::byte Content(const BlockId& id) {
    return std::byte(id.ordinal % kDistinct * 10 + id.layer * 3 + id.head + 1);
  }
  Status Read(const BlockId& id, size_t bytes = kGrid.payload_bytes) {
    std::byte* const target = read_.data();
    return store_.ReadBlocks({&id, 1}, bytes, {&target, 1});
  }

  AliasedColdStore store_{kGrid};
  std::byte* kept_ = nullptr;  // what the store has of one payload
  std::vector<std::byte> read_ = std::vector<std::byte>(kGrid.payload_bytes);
};

TEST_F(AliasedColdStoreTest, ABatchHasEachBlocksOwnPayload) {
  std::vector<BlockId> ids;
  for (uint32_t ordinal = 0; ordinal < kBlocks; ++ordinal) {
    for (uint16_t layer = 0; layer < kGrid.layers; ++layer) {
      for (uint16_t head = 0; head < kGrid.heads; ++head) {
        ids.push_back({kExtent, kBlocks - 1 - ordinal, layer, head});
      }
    }
  }
  std::vector<std::byte> payloads(ids.size() * kGrid.payload_bytes);
  std::vector<std::byte*> targets;
  for (size_t i = 0; i < ids.size(); ++i) {
    targets.push_back(payloads.data() + i * kGrid.payload_bytes);
  }
  ASSERT_GOOD(store_.ReadBlocks(ids, kGrid.payload_bytes, targets));
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(targets[i][0], Content(ids[i])) << ToString(ids[i]);
    EXPECT_EQ(targets[i][kGrid.payload_bytes - 1], Content(ids[i]));
  }
  EXPECT_EQ(store_.Stats().payload_bytes, kBlocks * kGrid.bytes());
  EXPECT_EQ(store_.Stats().bytes_read, kBlocks * kGrid.bytes());
}

TEST_F(AliasedColdStoreTest, WhatIsNotThereIsAbsent) {
  for (const BlockId& id : {BlockId{kExtent, kBlocks, 0, 0}, BlockId{kExtent, 0, 2, 0},
                            BlockId{kExtent, 0, 0, 3}, BlockId{kExtent + 1, 0, 0, 0}}) {
    EXPECT_ERROR(Read(id), Errc::kNotFound, ToString(id));
  }
  EXPECT_ERROR(Read({kExtent, 0, 0, 0}, kGrid.payload_bytes - 1), Errc::kCorruption, "40");
}

TEST_F(AliasedColdStoreTest, DamageIsSeenInEveryBlockThatSharesIt) {
  kept_[5] ^= std::byte{16};
  for (uint32_t ordinal = 0; ordinal < kBlocks; ++ordinal) {
    const BlockId id = {kExtent, ordinal, 1, 2};
    if (ordinal % kDistinct == 1) {
      EXPECT_ERROR(Read(id), Errc::kCorruption, ToString(id));
    } else {
      ASSERT_GOOD(Read(id));
    }
    ASSERT_GOOD(Read({kExtent, ordinal, 1, 1}));
  }
}

TEST_F(AliasedColdStoreTest, OtherExtentsAreKeptAsTheyAreWritten) {
  const std::vector<std::byte> payload(kGrid.payload_bytes, std::byte{99});
  const BlockRecord own = {{kExtent + 2, 0, 0, 0}, payload}, taken = {{kExtent, 60, 0, 0}, payload};
  EXPECT_EQ(store_.Extents().value(), std::vector<uint64_t>{kExtent});
  EXPECT_ERROR(store_.WriteBlocks({&taken, 1}), Errc::kInvalidArgument, "extent 7");
  ASSERT_GOOD(store_.WriteBlocks({&own, 1}));
  EXPECT_EQ(store_.Extents().value(), (std::vector<uint64_t>{kExtent, kExtent + 2}));
  ASSERT_GOOD(Read(own.id));
  EXPECT_EQ(read_, payload);
  ASSERT_GOOD(store_.DropExtent(kExtent + 2, 0));
  EXPECT_ERROR(Read(own.id), Errc::kNotFound, "extent 9");
  ASSERT_GOOD(store_.DropExtent(kExtent, 3));
  ASSERT_GOOD(Read({kExtent, 2, 1, 2}));
  EXPECT_ERROR(Read({kExtent, 3, 1, 2}), Errc::kNotFound, "block 3");
}

}  // namespace
}  // namespace cairn
