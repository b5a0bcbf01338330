#include "index/top_blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "tests/support/random.h"

namespace cairn {
namespace {

TEST(TopBlocks, KeepsTheHeaviestAndTheFirstOfTies) {
  TestRandom random(1);
  TopBlocks top;
  for (const int64_t count : {1, 2, 10, 300}) {
    for (const int32_t k : {1, 2, 7, 300}) {
      std::vector<std::pair<float, int64_t>> all;
      top.Reset(k);
      for (int64_t b = 0; b < count; ++b) {
        const auto weight = static_cast<float>(random.Int(-3, 3));
        all.push_back({-weight, b});
        top.Offer(weight, b);
        EXPECT_EQ(top.full(), b + 1 >= k);
      }
      std::sort(all.begin(), all.end());
      const size_t kept = std::min(all.size(), static_cast<size_t>(k));
      EXPECT_TRUE(!top.full() || top.threshold() == -all[kept - 1].first);
      std::vector<int64_t> ordinals(kept);
      std::vector<float> weights(kept);
      top.Write(50, ordinals.data(), weights.data());
      for (size_t i = 0; i < kept; ++i) {
        EXPECT_EQ(weights[i], -all[i].first);
        EXPECT_EQ(ordinals[i], 50 + all[i].second);
      }
    }
  }
}

}  // namespace
}  // namespace cairn
