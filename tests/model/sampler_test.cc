#include "model/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace cairn {
namespace {

TEST(SamplerTest, GreedyTakesTheHighestAndTheLowestIdOfATie) {
  Sampler greedy;
  EXPECT_EQ(greedy.Pick(std::vector<float>{-3, 5, 1}), 1u);
  EXPECT_EQ(greedy.Pick(std::vector<float>{2, 7, 7, 7}), 1u);
  EXPECT_EQ(greedy.Pick(std::vector<float>{0, 0, 0}), 0u);
  EXPECT_EQ(greedy.Pick(std::vector<float>{-4}), 0u);
  EXPECT_EQ(greedy.Pick(std::vector<float>{-INFINITY, -1e30f, -INFINITY}), 1u);
}

std::vector<uint32_t> Draw(uint64_t seed, float temperature, int count) {
  const std::vector<float> logits{1.0f, 2.0f, 0.5f, 2.5f, -1.0f};
  Sampler sampler(temperature, seed);
  std::vector<uint32_t> drawn;
  for (int i = 0; i < count; ++i) drawn.push_back(sampler.Pick(logits));
  return drawn;
}

TEST(SamplerTest, TheSameSeedDrawsTheSame) {
  EXPECT_EQ(Draw(7, 1.0f, 200), Draw(7, 1.0f, 200));
  EXPECT_NE(Draw(7, 1.0f, 200), Draw(8, 1.0f, 200));
}

TEST(SamplerTest, FrequenciesFollowTheSoftmax) {
  for (const float temperature : {0.5f, 1.0f, 2.0f}) {
    constexpr int kDraws = 20000;
    std::vector<double> found(5, 0.0);
    for (const uint32_t id : Draw(11, temperature, kDraws)) found.at(id) += 1.0 / kDraws;
    const std::vector<double> logits{1.0, 2.0, 0.5, 2.5, -1.0};
    double sum = 0;
    for (const double logit : logits) sum += std::exp(logit / temperature);
    for (size_t i = 0; i < logits.size(); ++i) {
      const double p = std::exp(logits[i] / temperature) / sum;
      // Five standard deviations of a binomial frequency.
      EXPECT_NEAR(found[i], p, 5 * std::sqrt(p * (1 - p) / kDraws)) << i << " at " << temperature;
    }
  }
}

TEST(SamplerTest, ImpossibleTokensAreNeverDrawn) {
  Sampler sampler(1.0f, 3);
  for (int i = 0; i < 1000; ++i) {
    const uint32_t id = sampler.Pick(std::vector<float>{-INFINITY, 0.0f, -INFINITY, 0.0f});
    EXPECT_TRUE(id == 1 || id == 3);
  }
}

}  // namespace
}  // namespace cairn
