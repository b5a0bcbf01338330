#include "kernels/low_rank.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/dtype.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

std::vector<uint16_t> Halves(TestRandom& random, int64_t count) {
  std::vector<uint16_t> halves(static_cast<size_t>(count));
  for (uint16_t& half : halves) half = FloatToHalf(random.Normal());
  return halves;
}

TEST(LowRankTest, DownAgreesWithTheTwin) {
  TestRandom random(1);
  for (const auto& [rank, k] : {std::pair<int64_t, int64_t>{1, 1}, {4, 32}, {16, 100}, {7, 576}}) {
    const auto a = Halves(random, rank * k);
    const auto x = random.Normals(static_cast<size_t>(k));
    std::vector<float> fast(static_cast<size_t>(rank) + 1, 42.0f), plain(fast);
    LowRankDown(a.data(), rank, k, 0.5f, x.data(), fast.data());
    LowRankDownReference(a.data(), rank, k, 0.5f, x.data(), plain.data());
    EXPECT_EQ(fast.back(), 42.0f);
    // Sums of k products of order one, in another order.
    for (int64_t r = 0; r < rank; ++r) ASSERT_NEAR(fast[r], plain[r], 1e-5f) << rank << " " << k;
  }
}

TEST(LowRankTest, UpAgreesWithTheTwinAndAddsWhereItIsTold) {
  TestRandom random(2);
  for (const auto& [rank, n] : {std::pair<int64_t, int64_t>{1, 1}, {4, 48}, {16, 100}, {32, 576}}) {
    const auto b = Halves(random, rank * n);
    const auto t = random.Normals(static_cast<size_t>(rank));
    auto fast = random.Normals(static_cast<size_t>(n));
    auto plain = fast;
    const auto before = fast;
    const int64_t begin = n / 3;
    LowRankUp(b.data(), rank, n, t.data(), begin, n, fast.data());
    LowRankUpReference(b.data(), rank, n, t.data(), begin, n, plain.data());
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_NEAR(fast[i], plain[i], 1e-5f) << rank << " " << n << " " << i;
      if (i < begin) {
        ASSERT_EQ(fast[i], before[i]);
      }
    }
  }
}

}  // namespace
}  // namespace cairn
