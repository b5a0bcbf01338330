// The memory of a DeviceIndex: what it reserves, what it grows by, and searches in turns where
// scores would take too much of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/device.h"
#include "engine/device_index.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

constexpr int32_t kPartitions = 3, kDim = 20, kChunk = 256;

class DeviceIndexRoom : public testing::TestWithParam<IndexKind> {
 protected:
  void Make(int32_t representatives) {
    options_ = {.kind = GetParam(),
                .partitions = kPartitions,
                .dim = kDim,
                .representatives = representatives};
    index_.reset(
        static_cast<DeviceIndex*>(DeviceIndex::Make(options_, *device_).value().release()));
  }
  static std::vector<float> Numbers(int64_t count) {
    TestRandom random(static_cast<uint64_t>(count));
    std::vector<float> numbers(static_cast<size_t>(count));
    for (float& number : numbers) number = static_cast<float>(random.Int(-9, 9));
    return numbers;
  }
  Status Add(int64_t count) {
    return index_->Add(0, kPartitions, count,
                       Numbers(kPartitions * count * options_.representatives * kDim).data());
  }

  std::unique_ptr<Device> device_ = Device::Open(0).value();
  IndexOptions options_;
  std::unique_ptr<DeviceIndex> index_;
};

TEST_P(DeviceIndexRoom, WhatIsReservedIsWhatItTakes) {
  for (const int32_t representatives : {1, 3}) {
    for (const int64_t blocks : {1, 60, kChunk - 1, kChunk, 3 * kChunk + 7}) {
      Make(representatives);
      const uint64_t free_before = device_->FreeBytes().value();
      ASSERT_TRUE(index_->Reserve(blocks));
      const uint64_t bytes = DeviceIndex::MemoryBytes(options_, blocks);
      EXPECT_EQ(index_->memory_bytes(), bytes);
      EXPECT_EQ(free_before - device_->FreeBytes().value(), bytes);
      for (const int64_t some : {blocks / 2, blocks - blocks / 2}) ASSERT_TRUE(Add(some));
      EXPECT_EQ(index_->memory_bytes(), bytes) << blocks;
      EXPECT_EQ(index_->size(0), blocks);
      ASSERT_TRUE(Add(4 * kChunk));
      EXPECT_GT(index_->memory_bytes(), bytes) << blocks;
    }
  }
}

TEST_P(DeviceIndexRoom, NothingReservedTakesNothing) {
  Make(1);
  ASSERT_TRUE(index_->Reserve(0));
  EXPECT_EQ(index_->memory_bytes(), 0u);
}

TEST_P(DeviceIndexRoom, GroupsTakeTurnsWhereScoresAreMany) {
  constexpr int64_t kBlocks = kChunk + 30, kBegin = 5;
  constexpr int32_t kRows = 7, kEach = 2, kRepresentatives = 2;
  constexpr size_t kGroup = (kEach * kRepresentatives + 1) * (kBlocks - kBegin);
  Make(kRepresentatives);
  ASSERT_TRUE(Add(kBlocks));
  const std::vector<float> queries = Numbers(kPartitions * kRows * kDim);
  const std::vector<float> other(kPartitions * kRows, -3.0f);
  const SearchRequest request = {.partition_count = kPartitions,
                                 .queries = queries.data(),
                                 .rows = kRows,
                                 .rows_per_group = kEach,
                                 .begin = kBegin,
                                 .end = kBlocks,
                                 .k = 6,
                                 .other_lse = other.data()};
  uint64_t least = 0;
  SearchResult expected;
  for (const size_t limit : {size_t{1}, kGroup, 3 * kGroup, 100 * kGroup}) {  // floats
    const uint64_t free_before = device_->FreeBytes().value();
    SearchResult found;
    index_->LimitScores(limit);
    ASSERT_TRUE(index_->Search(request, &found));
    if (limit == 1) {
      expected = found;
      least = free_before - device_->FreeBytes().value();
      EXPECT_LT(least, (2 * kGroup + 1000) * sizeof(float)) << "more than one group at once";
    }
    EXPECT_EQ(found.ordinals, expected.ordinals) << limit;
    EXPECT_EQ(found.log_weights, expected.log_weights);
    EXPECT_EQ(found.lse, expected.lse);
  }
  EXPECT_EQ(expected.groups, 4);
}

INSTANTIATE_TEST_SUITE_P(Kinds, DeviceIndexRoom,
                         testing::Values(IndexKind::kAuto, IndexKind::kInt8),
                         [](const auto& info) { return std::string(IndexKindName(info.param)); });

// Old and new are both there while one takes the place of the other.
TEST(DeviceIndexGrowth, ManyGrowByLittle) {
  const auto device = Device::Open(0).value();
  IndexOptions options = {.kind = IndexKind::kInt8, .partitions = 2, .dim = kDim};
  const auto codes = DeviceIndex::Make(options, *device).value();
  ASSERT_TRUE(codes->Reserve(400 * kChunk));
  ASSERT_TRUE(codes->Reserve(401 * kChunk));
  EXPECT_EQ(codes->memory_bytes(), DeviceIndex::MemoryBytes(options, 425 * kChunk));
  options.kind = IndexKind::kAuto;
  const auto plain = DeviceIndex::Make(options, *device).value();
  ASSERT_TRUE(plain->Reserve(80'000));
  ASSERT_TRUE(plain->Reserve(80'001));
  EXPECT_EQ(plain->memory_bytes(), DeviceIndex::MemoryBytes(options, 85'000));
}

}  // namespace
}  // namespace cairn
