#include "engine/near_keys.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

class NearKeysTest : public testing::Test {
 protected:
  static constexpr int32_t kPartitions = 3;

  /// Adds the next block to all partitions; its key tells where it belongs.
  void Add() {
    for (int32_t p = 0; p < kPartitions; ++p) {
      const float key[2] = {static_cast<float>(p), static_cast<float>(next_)};
      keys_.Add(p, key);
    }
    ++next_;
  }
  void ExpectBlocks(int64_t first, int64_t size) {
    for (int32_t p = 0; p < kPartitions; ++p) {
      ASSERT_EQ(keys_.size(p), size);
      for (int64_t block = first; block < size; ++block) {
        EXPECT_EQ(keys_.at(p, block)[0], static_cast<float>(p));
        EXPECT_EQ(keys_.at(p, block)[1], static_cast<float>(block));
      }
    }
  }

  NearKeys keys_{kPartitions, 2};
  int64_t next_ = 0;
};

TEST_F(NearKeysTest, AddsDropsAndTruncates) {
  ExpectBlocks(0, 0);
  for (int i = 0; i < 10; ++i) Add();
  ExpectBlocks(0, 10);
  keys_.DropBefore(4);
  ExpectBlocks(4, 10);
  keys_.DropBefore(2);  // already gone
  ExpectBlocks(4, 10);
  keys_.Truncate(7);
  ExpectBlocks(4, 7);
  keys_.Truncate(8);  // nothing that far
  ExpectBlocks(4, 7);
  next_ = 7;
  for (int i = 0; i < 3; ++i) Add();
  ExpectBlocks(4, 10);
}

TEST_F(NearKeysTest, DroppedBlocksAreGone) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (int i = 0; i < 5; ++i) Add();
  keys_.DropBefore(3);
  EXPECT_DEATH(keys_.at(0, 2), "internal error");
  EXPECT_DEATH(keys_.at(0, 5), "internal error");
}

}  // namespace
}  // namespace cairn
