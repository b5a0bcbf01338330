#include "storage/slab_pool.h"

#include <cstring>
#include <set>

#include "store_fixture.h"

namespace cairn {
namespace {

TEST(SlabPool, SlotsAreAlignedDistinctAndLimited) {
  Result<SlabPool> pool = SlabPool::Open(100, 10);
  ASSERT_GOOD(pool);
  std::set<uint32_t> taken;
  for (int i = 0; i < 10; ++i) {
    const uint32_t slot = pool.value().Take();
    ASSERT_NE(slot, kNoSlot);
    EXPECT_TRUE(taken.insert(slot).second);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pool.value().At(slot)) % SlabPool::kAlignment, 0u);
    std::memset(pool.value().At(slot), static_cast<int>(slot), 100);
  }
  EXPECT_EQ(pool.value().Take(), kNoSlot);
  EXPECT_EQ(pool.value().free_slots(), 0u);
  for (const uint32_t slot : taken) {
    EXPECT_EQ(pool.value().At(slot)[99], static_cast<std::byte>(slot));
  }
  pool.value().Give(3);
  EXPECT_EQ(pool.value().free_slots(), 1u);
  EXPECT_EQ(pool.value().Take(), 3u);
}

TEST(SlabPool, UntouchedMemoryCostsNothingAndTooMuchIsAnError) {
  EXPECT_TRUE(SlabPool::Open(1 << 20, 1 << 16).has_value());  // 64 GiB of addresses
  EXPECT_ERROR(SlabPool::Open(size_t{1} << 40, 1 << 20), Errc::kResource, "smaller memory budget");
}

}  // namespace
}  // namespace cairn
