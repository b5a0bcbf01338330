// QuantLinear against plain products with dequantised weights, adapters merged into them.
#include "model/quant_linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/page_buffer.h"
#include "base/parallel.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

constexpr GgmlType kCoded[] = {GgmlType::kQ4_0, GgmlType::kQ4_1, GgmlType::kQ5_0, GgmlType::kQ5_1,
                               GgmlType::kQ8_0, GgmlType::kQ4_K, GgmlType::kQ5_K, GgmlType::kQ6_K};

/// A tensor of random codes with scales of order one.
struct RandomTensor {
  RandomTensor(GgmlType type, int64_t rows, int64_t k, TestRandom& random) {
    const GgmlBlock block = GgmlBlockOf(type);
    tensor.type = type;
    tensor.dims = {static_cast<uint64_t>(k), static_cast<uint64_t>(rows)};
    tensor.count = static_cast<uint64_t>(rows * k);
    tensor.bytes = tensor.count / block.values * block.bytes;
    bytes.resize(tensor.bytes);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.Int(0, 255));
    // The scales are f16 at the block's start (Q6_K: at its end), then perhaps a minimum.
    const size_t at = type == GgmlType::kQ6_K ? 208 : 0;
    const bool two = type == GgmlType::kQ4_1 || type == GgmlType::kQ5_1 ||
                     type == GgmlType::kQ4_K || type == GgmlType::kQ5_K;
    for (size_t first = 0; first < bytes.size(); first += block.bytes) {
      const uint16_t scale = FloatToHalf(0.01f * random.Normal());
      const uint16_t minimum = FloatToHalf(0.01f * random.Normal());
      std::memcpy(&bytes[first + at], &scale, 2);
      if (two) std::memcpy(&bytes[first + at + 2], &minimum, 2);
    }
    tensor.data = bytes.data();
    weights.resize(tensor.count);
    EXPECT_TRUE(Dequantize(type, tensor.data, rows * k, weights.data()));
  }

  GgufTensor tensor;
  std::vector<std::byte> bytes;
  std::vector<float> weights;  // [rows, k]
};

LoraFactors RandomFactors(int64_t rank, int64_t n, int64_t k, TestRandom& random) {
  LoraFactors factors;
  factors.rank = rank;
  factors.scale = 0.5f;
  factors.a = random.Normals(static_cast<size_t>(rank * k), 0.1f);
  factors.b = random.Normals(static_cast<size_t>(n * rank), 0.1f);
  for (auto* numbers : {&factors.a, &factors.b}) {
    for (float& number : *numbers) number = HalfToFloat(FloatToHalf(number));
  }
  return factors;
}

/// Compares with sums in double. Rounding x costs half a code of its 32 numbers' scale for each
/// weight. K types have scales finer than f16: each weight may be off by
/// 1/2^11 of scale · code and of the minimum apart.
void Check(const std::vector<std::unique_ptr<RandomTensor>>& tensors,
           const std::vector<QuantSource>& sources, double weight_error, TestRandom& random) {
  PageBuffer memory(QuantLinearBytes(sources));
  const auto linear = MakeQuantLinear(sources, memory.data());
  EXPECT_EQ(linear->bytes(), memory.bytes());
  const int64_t k = linear->k();
  for (const int64_t rows : {1, 2, 5}) {
    const auto x = random.Normals(static_cast<size_t>(rows * k));
    std::vector<double> scales;  // [rows, k / 32]
    for (size_t first = 0; first < x.size(); first += 32) {
      double largest = 0;
      for (size_t c = first; c < first + 32; ++c)
        largest = std::max<double>(largest, std::abs(x[c]));
      scales.push_back(largest / 32767);
    }
    std::vector<float> y(static_cast<size_t>(rows * linear->n()) + 1, 42.0f);
    linear->Apply(x.data(), rows, y.data());
    EXPECT_EQ(y.back(), 42.0f);
    for (int64_t row = 0; row < rows; ++row) {
      int64_t first = 0;
      for (size_t part = 0; part < sources.size(); ++part) {
        const auto n = static_cast<int64_t>(sources[part].tensor->Rows());
        for (int64_t i = 0; i < n; ++i) {
          double expected = 0, sizes = 0, rounding = 0;
          for (int64_t c = 0; c < k; ++c) {
            const double weight = tensors[part]->weights[i * k + c];
            expected += weight * x[row * k + c];
            sizes += std::abs(x[row * k + c]);
            rounding += std::abs(weight) * 0.51 * scales[row * (k / 32) + c / 32];
          }
          for (const LoraFactors& f : sources[part].factors) {
            for (int64_t r = 0; r < f.rank; ++r) {
              double down = 0;
              for (int64_t c = 0; c < k; ++c) down += f.a[r * k + c] * x[row * k + c];
              expected += f.scale * down * f.b[i * f.rank + r];
            }
          }
          ASSERT_NEAR(y[row * linear->n() + first + i], expected,
                      weight_error * sizes + rounding + 1e-4)
              << GgmlTypeName(sources[part].tensor->type) << " row " << i;
        }
        first += n;
      }
    }
  }
}

class QuantLinearTest : public testing::TestWithParam<int> {
 protected:
  QuantLinearTest() : before_(Threads()) { SetThreads(GetParam()); }
  ~QuantLinearTest() override { SetThreads(before_); }

 private:
  int before_;
};

TEST_P(QuantLinearTest, EveryTypeOfCodes) {
  TestRandom random(1);
  for (const GgmlType type : kCoded) {
    SCOPED_TRACE(GgmlTypeName(type));
    std::vector<std::unique_ptr<RandomTensor>> tensors;
    tensors.push_back(std::make_unique<RandomTensor>(type, 50, 512, random));
    // 0.01 · a scale of up to 127 and a code of up to 63 are the largest terms of the K types.
    const bool exact = GgmlBlockOf(type).values == 32;
    Check(tensors, {{&tensors[0]->tensor, {}}}, exact ? 0 : 0.04 * 127 * 63 / 2048, random);
  }
}

TEST_P(QuantLinearTest, PartsOfSeveralTypesWithAdapters) {
  TestRandom random(2);
  std::vector<std::unique_ptr<RandomTensor>> tensors;
  std::vector<QuantSource> sources;
  for (const auto& [type, n] : {std::pair<GgmlType, int64_t>{GgmlType::kQ4_1, 48},
                                {GgmlType::kQ8_0, 17},
                                {GgmlType::kQ4_1, 33}}) {
    tensors.push_back(std::make_unique<RandomTensor>(type, n, 256, random));
    QuantSource source{&tensors.back()->tensor, {}};
    source.factors.push_back(RandomFactors(8, n, 256, random));
    if (n == 33) source.factors.push_back(RandomFactors(3, n, 256, random));
    sources.push_back(std::move(source));
  }
  Check(tensors, sources, 0, random);
  // Groups of 16 beside groups of 32: the vector is rounded for each.
  tensors.push_back(std::make_unique<RandomTensor>(GgmlType::kQ6_K, 20, 256, random));
  sources.push_back({&tensors.back()->tensor, {}});
  Check(tensors, sources, 0.04 * 127 * 63 / 2048, random);
}

// Every row is computed by itself, so neither threads nor other rows change a bit.
TEST_P(QuantLinearTest, RowsDoNotDependOnEachOther) {
  TestRandom random(3);
  const RandomTensor tensor(GgmlType::kQ4_1, 100, 96, random);
  const std::vector<QuantSource> sources{{&tensor.tensor, {RandomFactors(4, 100, 96, random)}}};
  PageBuffer memory(QuantLinearBytes(sources));
  const auto linear = MakeQuantLinear(sources, memory.data());
  const auto x = random.Normals(3 * 96);
  std::vector<float> together(300), alone(300), single(300);
  linear->Apply(x.data(), 3, together.data());
  for (int row = 0; row < 3; ++row) linear->Apply(x.data() + row * 96, 1, alone.data() + row * 100);
  SetThreads(1);
  linear->Apply(x.data(), 3, single.data());
  EXPECT_EQ(together, alone);
  EXPECT_EQ(together, single);
}

TEST_P(QuantLinearTest, OtherTypesHaveNone) {
  TestRandom random(4);
  const RandomTensor coded(GgmlType::kQ8_0, 4, 64, random);
  GgufTensor plain = coded.tensor;
  plain.type = GgmlType::kF16;
  EXPECT_EQ(QuantLinearBytes({}), 0u);
  EXPECT_EQ(QuantLinearBytes({{&plain, {}}}), 0u);
  EXPECT_EQ(QuantLinearBytes({{&coded.tensor, {}}, {&plain, {}}}), 0u);
  EXPECT_GT(QuantLinearBytes({{&coded.tensor, {}}}), coded.tensor.bytes);
}

INSTANTIATE_TEST_SUITE_P(Threads, QuantLinearTest, testing::Values(1, 3));

}  // namespace
}  // namespace cairn
