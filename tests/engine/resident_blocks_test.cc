// The table of blocks that a device holds, as it grows.
#include "engine/resident_blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "storage/memory_cold_store.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

constexpr int32_t kPartitions = 6, kHeads = 3;
constexpr size_t kBytes = 64;
constexpr uint32_t kBlocks = 20;

class ResidentBlocksTest : public testing::Test {
 protected:
  void SetUp() override {
    device_ = Device::Open(0).value();
    stream_ = device_->MakeStream().value();
    store_ = TieredStore::Open({.payload_bytes = kBytes,
                                .host_bytes = 1 << 20,
                                .compute_bytes = 1 << 20,
                                .device = device_.get()},
                               cold_)
                 .value();
    resident_ = std::make_unique<ResidentBlocks>(kPartitions, kHeads, *store_);
    const std::vector<std::byte> payload(kBytes, std::byte{1});
    for (uint32_t ordinal = 0; ordinal < kBlocks; ++ordinal) {
      for (uint16_t part = 0; part < kPartitions; ++part) {
        const BlockId id = {1, ordinal, static_cast<uint16_t>(part / kHeads),
                            static_cast<uint16_t>(part % kHeads)};
        ASSERT_GOOD(store_->Seal(id, payload));
      }
    }
    blocks_.Append({1, 0, kBlocks});
  }
  // The table as it is on the device: how many blocks it says the place of.
  int Placed() {
    const auto entries = static_cast<size_t>(kPartitions * resident_->table_stride());
    PinnedBuffer back = device_->AllocatePinned(entries * sizeof(uint32_t)).value();
    const auto* table = reinterpret_cast<const std::byte*>(resident_->table());
    EXPECT_TRUE(stream_.CopyToHost(back.data(), table, back.bytes()).has_value());
    EXPECT_TRUE(stream_.Wait().has_value());
    const auto* const places = reinterpret_cast<const uint32_t*>(back.data());
    int placed = 0;
    for (size_t i = 0; i < entries; ++i) placed += places[i] != 0xffffffffu ? 1 : 0;
    for (const ResidentBlocks::Block& block : wanted_) {
      const auto at = static_cast<size_t>(block.partition * resident_->table_stride());
      EXPECT_NE(places[at + static_cast<size_t>(block.ordinal)], 0xffffffffu);
    }
    return placed;
  }

  std::unique_ptr<Device> device_;
  MemoryColdStore cold_;
  std::unique_ptr<TieredStore> store_;
  std::unique_ptr<ResidentBlocks> resident_;
  BlockMap blocks_;
  const std::vector<ResidentBlocks::Block> wanted_ = {{0, 0}, {5, 19}, {3, 7}, {0, 19}};
  DeviceStream stream_;
};

TEST_F(ResidentBlocksTest, ALongerTableHasWhatTheOneBeforeHad) {
  ASSERT_GOOD(resident_->Reserve(kBlocks));
  ASSERT_GOOD(resident_->Fetch(wanted_, blocks_, stream_));
  EXPECT_EQ(Placed(), 4);
  ASSERT_GOOD(resident_->Reserve(5000));
  EXPECT_TRUE(resident_->Has(wanted_[1]));
  ASSERT_GOOD(resident_->Fetch({}, blocks_, stream_));
  EXPECT_EQ(Placed(), 4);
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

}  // namespace
}  // namespace cairn
