#include "engine/block_map.h"

#include <gtest/gtest.h>

#include <vector>

namespace cairn {
namespace {

TEST(BlockMapTest, JoinsWhatContinues) {
  BlockMap map;
  map.Append({7, 0, 3});
  map.Append({7, 3, 2});  // continues
  map.Append({9, 5, 1});  // another extent
  map.Append({9, 7, 2});  // a gap
  map.Append({9, 9, 0});  // nothing
  map.Append({7, 5, 4});  // continues the first, but not the last
  EXPECT_EQ(map.size(), 12);
  const std::vector<ExtentRange> expected{{7, 0, 5}, {9, 5, 1}, {9, 7, 2}, {7, 5, 4}};
  EXPECT_EQ(map.ranges(), expected);
  EXPECT_EQ(BlockMap(expected).ranges(), expected);
  EXPECT_EQ(BlockMap(expected).size(), 12);
}

TEST(BlockMapTest, FindsEveryBlock) {
  const BlockMap map({{7, 2, 3}, {9, 5, 1}, {4, 0, 2}});
  const std::vector<BlockId> expected{{7, 2, 3, 1}, {7, 3, 3, 1}, {7, 4, 3, 1},
                                      {9, 5, 3, 1}, {4, 0, 3, 1}, {4, 1, 3, 1}};
  ASSERT_EQ(map.size(), std::ssize(expected));
  for (int64_t i = 0; i < map.size(); ++i) {
    EXPECT_EQ(map.Id(i, 3, 1), expected[i]) << i;
    EXPECT_EQ(map.Find(expected[i].extent, expected[i].ordinal), i);
  }
  EXPECT_EQ(map.Find(7, 1), -1);
  EXPECT_EQ(map.Find(7, 5), -1);
  EXPECT_EQ(map.Find(8, 2), -1);
}

TEST(BlockMapDeathTest, RefusesBlocksThatAreNot) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const BlockMap map({{7, 2, 3}});
  EXPECT_DEATH(map.Id(3, 0, 0), "internal error");
  EXPECT_DEATH(map.Id(-1, 0, 0), "internal error");
  EXPECT_DEATH(BlockMap().Id(0, 0, 0), "internal error");
}

}  // namespace
}  // namespace cairn
