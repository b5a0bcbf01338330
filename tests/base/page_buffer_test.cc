#include "base/page_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <new>
#include <span>
#include <utility>

namespace cairn {
namespace {

TEST(PageBufferTest, HoldsZerosAndDoesNotMove) {
  PageBuffer buffer(100'000);
  EXPECT_EQ(buffer.bytes(), 100'000u);
  const std::span all(buffer.data(), buffer.bytes());
  EXPECT_TRUE(std::ranges::all_of(all, [](std::byte byte) { return byte == std::byte{0}; }));
  std::byte* const data = buffer.data();
  data[99'999] = std::byte{7};
  const PageBuffer moved(std::move(buffer));
  EXPECT_EQ(moved.data(), data);
  EXPECT_EQ(moved.data()[99'999], std::byte{7});
}

TEST(PageBufferTest, MayBeEmpty) { EXPECT_EQ(PageBuffer(0).bytes(), 0u); }

TEST(PageBufferTest, MemoryThatIsNotThereIsNoMistake) {
  EXPECT_THROW(PageBuffer(size_t{1} << 62), std::bad_alloc);
}

}  // namespace
}  // namespace cairn
