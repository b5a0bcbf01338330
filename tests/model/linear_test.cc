#include "model/linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "base/parallel.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

std::vector<float> RoundedTo(DType type, std::vector<float> numbers) {
  std::vector<float> stored(numbers.size());  // room for any type
  ConvertFromFloat(type, numbers.data(), stored.data(), numbers.size());
  std::vector<float> rounded(numbers.size());
  ConvertToFloat(type, stored.data(), rounded.data(), numbers.size());
  return rounded;
}

struct LinearCase {
  DType type;
  int threads;
};

class LinearTest : public testing::TestWithParam<LinearCase> {
 protected:
  LinearTest() : before_(Threads()) { SetThreads(GetParam().threads); }
  ~LinearTest() override { SetThreads(before_); }

 private:
  int before_;
};

TEST_P(LinearTest, AgreesWithTheReference) {
  TestRandom random(1);
  const DType type = GetParam().type;
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{1, 8}, {63, 64}, {200, 96}, {576, 64}}) {
    // Rounded numbers, so that both multiply the same ones.
    const auto weights = RoundedTo(type, random.Normals(static_cast<size_t>(n * k)));
    const auto fast = MakeOneDnnLinear(type, weights.data(), n, k);
    const auto reference = MakeReferenceLinear(weights.data(), n, k);
    for (const Linear* linear : {fast.get(), reference.get()}) {
      EXPECT_EQ(linear->n(), n);
      EXPECT_EQ(linear->k(), k);
    }
    EXPECT_GE(fast->bytes(), static_cast<uint64_t>(n * k) * DTypeBytes(type));
    EXPECT_EQ(reference->bytes(), static_cast<uint64_t>(n * k) * sizeof(float));
    // Around the numbers of rows at which work is split another way.
    for (const int64_t rows : {1, 2, 16, 31, 32, 33, 64, 65, 300}) {
      const auto x = RoundedTo(type, random.Normals(static_cast<size_t>(rows * k)));
      std::vector<float> y(static_cast<size_t>(rows * n) + 1, 42.0f), expected(y);
      fast->Apply(x.data(), rows, y.data());
      reference->Apply(x.data(), rows, expected.data());
      EXPECT_EQ(y.back(), 42.0f);
      for (size_t i = 0; i < y.size(); ++i) {
        ASSERT_NEAR(y[i], expected[i], 5e-6 * std::sqrt(static_cast<float>(k)) + 1e-5)
            << rows << " rows, " << n << " x " << k << ", element " << i;
      }
    }
  }
}

TEST_P(LinearTest, InputsAreRoundedToTheType) {
  const std::vector<float> weights{1.0f, 0.0f};
  const auto fast = MakeOneDnnLinear(GetParam().type, weights.data(), 1, 2);
  const std::vector<float> x{1.0f + 0x1p-12f, 0.0f};
  float y = 0;
  fast->Apply(x.data(), 1, &y);
  EXPECT_EQ(y, GetParam().type == DType::kF32 ? x[0] : 1.0f);
}

INSTANTIATE_TEST_SUITE_P(Types, LinearTest,
                         testing::Values(LinearCase{DType::kF32, 1}, LinearCase{DType::kF32, 3},
                                         LinearCase{DType::kBF16, 1}, LinearCase{DType::kBF16, 3}),
                         [](const auto& info) {
                           return std::string(DTypeName(info.param.type)) + "on" +
                                  std::to_string(info.param.threads);
                         });

TEST(ReferenceLinearTest, IsPlainLoops) {
  const std::vector<float> weights{1, 2, 3, 4, 5, 6};
  const auto linear = MakeReferenceLinear(weights.data(), 2, 3);
  const std::vector<float> x{1, 0, -1, 2, 1, 0};
  std::vector<float> y(4);
  linear->Apply(x.data(), 2, y.data());
  EXPECT_EQ(y, (std::vector<float>{-2, -2, 4, 13}));
}

}  // namespace
}  // namespace cairn
