#include "bench/spread_budget.h"

#include <gtest/gtest.h>

#include <vector>

namespace cairn {
namespace {

TEST(SpreadBudget, TakesMoreWhereMassIsSpread) {
  SpreadBudget budget;
  // One choice has all in its first block, one in four.
  budget.Add({0.97f, 0.01f, 0.01f, 0.01f}, {0.9f, 0.05f, 0.03f, 0.02f});
  budget.Add({0.25f, 0.25f, 0.25f, 0.25f}, {0.3f, 0.3f, 0.2f, 0.2f});
  const SpreadBudget::Spread two_and_a_half = budget.Over(2.5);
  EXPECT_DOUBLE_EQ(two_and_a_half.blocks, 2.5);  // 1 and 4
  EXPECT_NEAR(two_and_a_half.mass, (0.9 + 1.0) / 2, 1e-6);
  EXPECT_GT(two_and_a_half.target, 0.75);
  EXPECT_LT(two_and_a_half.target, 0.971);
  const SpreadBudget::Spread one = budget.Over(1);
  EXPECT_DOUBLE_EQ(one.blocks, 1);
  EXPECT_NEAR(one.mass, (0.9 + 0.3) / 2, 1e-6);
}

TEST(SpreadBudget, NeverTakesMoreThanAllowedOrThanThereAre) {
  SpreadBudget budget;
  const size_t many = 3 * SpreadBudget::kMost;
  budget.Add(std::vector<float>(many, 1.0f / static_cast<float>(many)),
             std::vector<float>(many, 0.001f));
  SpreadBudget other;
  other.Add({0.5f, 0.25f}, {0.1f, 0.1f});
  budget.Add(other);
  const SpreadBudget::Spread all = budget.Over(1000);
  EXPECT_DOUBLE_EQ(all.blocks, (SpreadBudget::kMost + 2) / 2.0);
  EXPECT_NEAR(all.mass, (0.001 * SpreadBudget::kMost + 0.2) / 2, 1e-6);
}

}  // namespace
}  // namespace cairn
