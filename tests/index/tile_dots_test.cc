// Products of codes, and the arithmetic around them, against plain loops.
#include "index/tile_dots.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/dtype.h"
#include "index/code_kernels.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

struct alignas(64) Line {
  uint8_t bytes[64];
};
struct alignas(64) SumLine {
  int32_t sums[16];
};

struct TileCase {
  int64_t tiles;
  int64_t padded_dim;
  int64_t rows;
};
const TileCase kCases[] = {{1, 4, 1},  {3, 20, 2},  {2, 64, 3},  {5, 64, 5},  {16, 64, 6},
                           {7, 64, 7}, {4, 128, 8}, {3, 128, 9}, {2, 36, 15}, {1, 4096, 2}};

TEST(TileDots, EveryTargetGivesTheSumsOfThePlainLoops) {
  for (const TileCase& c : kCases) {
    TestRandom random(7);
    std::vector<Line> tiles(static_cast<size_t>(c.tiles * TileBytes(c.padded_dim) / 64));
    for (Line& line : tiles) {
      for (uint8_t& byte : line.bytes) byte = static_cast<uint8_t>(random.Int(0, 255));
    }
    std::vector<int8_t> queries(static_cast<size_t>(c.rows * c.padded_dim));
    for (int8_t& q : queries) q = static_cast<int8_t>(random.Int(-128, 127));
    tiles[0].bytes[0] = 255;  // the extremes, side by side
    tiles[0].bytes[1] = 255;
    queries[0] = queries[1] = -128;
    const int64_t stride = (c.tiles + 1) * kTileVectors;
    std::vector<SumLine> expected(static_cast<size_t>(c.rows * (c.tiles + 1)));
    std::vector<SumLine> sums = expected;
    TileProducts products{tiles[0].bytes, c.tiles,          c.padded_dim, queries.data(),
                          c.rows,         expected[0].sums, stride};
    TileDotsReference(products);
    products.sums = sums[0].sums;
    products.ahead = products.tiles;
    for (const TileDotsTarget& target : TileDotsTargets()) {
      for (SumLine& line : sums) {
        for (int32_t& sum : line.sums) sum = 0;
      }
      target.dots(products);
      for (size_t i = 0; i < sums.size(); ++i) {
        for (int j = 0; j < 16; ++j) {
          ASSERT_EQ(sums[i].sums[j], expected[i].sums[j])
              << target.name << ", " << c.tiles << " tiles, dim " << c.padded_dim << ", " << c.rows
              << " rows, line " << i << " lane " << j;
        }
      }
    }
  }
}

TEST(TileDots, ThePlainOneIsTheDefinition) {
  // Vector i of a tile has code 10·i + c at dimension c.
  std::vector<Line> tile(2);
  for (int i = 0; i < 16; ++i) {
    for (int c = 0; c < 8; ++c) {
      tile[static_cast<size_t>(c / 4)].bytes[i * 4 + c % 4] = static_cast<uint8_t>(10 * i + c);
    }
  }
  const std::vector<int8_t> query{1, -1, 2, 0, 0, 3, 0, -4};
  std::vector<SumLine> sums(1);
  TileDotsReference({tile[0].bytes, 1, 8, query.data(), 1, sums[0].sums, 16});
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(sums[0].sums[i], 10 * i * (1 - 1 + 2 + 3 - 4) - 1 + 2 * 2 + 3 * 5 - 4 * 7);
  }
}

TEST(CodeKernels, SplitsAQueryToFifteenBits) {
  for (const int64_t dim : {1, 5, 20, 64, 128}) {
    const int64_t padded = (dim + 3) / 4 * 4;
    TestRandom random(3);
    const std::vector<float> query = random.Normals(static_cast<size_t>(dim), 2.0f);
    std::vector<uint16_t> step;
    for (int64_t i = 0; i < dim; ++i) {
      step.push_back(FloatToBf16(0.01f * static_cast<float>(random.Int(0, 9))));
    }
    std::vector<int8_t> high(static_cast<size_t>(padded), 99);
    std::vector<int8_t> low = high;
    const float unit = SplitQuery(query.data(), step.data(), dim, padded, high.data(), low.data());
    for (int64_t i = 0; i < padded; ++i) {
      const auto at = static_cast<size_t>(i);
      const double expected = i < dim ? double{query[at]} * Bf16ToFloat(step[at]) : 0.0;
      EXPECT_NEAR(double{unit} * (128 * high[at] + low[at]), expected, 0.51 * unit) << dim;
    }
  }
  const float query[] = {3.0f, -2.0f};
  const uint16_t none[] = {0, 0};
  int8_t high[4] = {9, 9, 9, 9};
  int8_t low[4] = {9, 9, 9, 9};
  EXPECT_EQ(SplitQuery(query, none, 2, 4, high, low), 0.0f);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(high[i] | low[i], 0);
}

TEST(CodeKernels, JoinsSums) {
  for (const int64_t count : {1, 15, 16, 37}) {
    std::vector<int32_t> high, low;
    TestRandom random(4);
    for (int64_t i = 0; i < count; ++i) {
      high.push_back(static_cast<int32_t>(random.Int(-2'000'000, 2'000'000)));
      low.push_back(static_cast<int32_t>(random.Int(-1'000'000, 1'000'000)));
    }
    std::vector<float> scores(static_cast<size_t>(count));
    JoinSums(high.data(), low.data(), count, 1e-6f, -3.5f, scores.data());
    for (size_t i = 0; i < scores.size(); ++i) {
      const double expected = 1e-6 * (128.0 * high[i] + low[i]) - 3.5;
      EXPECT_NEAR(scores[i], expected, 1e-6 * (1 + std::fabs(expected)) + 1e-5);
    }
  }
}

// Against the same in plain loops and double.
TEST(CodeKernels, JoinsAndFoldsScaledSums) {
  constexpr int32_t kHighBias = 40'000;
  constexpr int32_t kLowBias = -700;
  constexpr float kUnit = 1e-6f;
  constexpr float kOffset = -3.5f;
  for (const int64_t count : {1, 15, 16, 37, 128}) {
    TestRandom random(5);
    std::vector<int32_t> high, low;
    std::vector<uint16_t> scales;
    for (int64_t i = 0; i < count; ++i) {
      high.push_back(static_cast<int32_t>(random.Int(-60'000'000, 60'000'000)));
      low.push_back(static_cast<int32_t>(random.Int(-1'000'000, 1'000'000)));
      scales.push_back(FloatToBf16(1e-4f * static_cast<float>(random.Int(0, 20))));
    }
    const size_t padded = scales.size() + 15;  // with what would be seen in maxima and sums
    high.resize(padded, 1 << 30);
    low.resize(padded, 1 << 30);
    scales.resize(padded, FloatToBf16(1.0f));
    for (const bool coarse : {false, true}) {
      const int32_t* lower = coarse ? nullptr : low.data();
      std::vector<float> scores(padded);
      std::vector<float> kept = scores;
      std::vector<float> best(padded, -2.0f);
      best[static_cast<size_t>(count - 1)] = 1e6f;
      const float most = JoinScaledSums(high.data(), kHighBias, lower, kLowBias, count, kUnit,
                                        kOffset, scales.data(), scores.data());
      const FoldedSums folded =
          FoldScaledSums(high.data(), kHighBias, lower, kLowBias, count, kUnit, kOffset,
                         scales.data(), -2.0f, 1.5f, best.data(), kept.data());
      double sum = 0;
      double largest = -1e30;
      scores.resize(static_cast<size_t>(count));
      kept.resize(scores.size());
      for (size_t i = 0; i < scores.size(); ++i) {
        const double codes = 128.0 * (high[i] - kHighBias) + (coarse ? 0 : low[i] - kLowBias);
        const double expected = double{kUnit} * Bf16ToFloat(scales[i]) * codes + kOffset;
        EXPECT_NEAR(scores[i], expected, 1e-5 * (1 + std::fabs(expected)));
        const bool last = i + 1 == scores.size();
        EXPECT_EQ(best[i], last ? 1e6f : std::max(-2.0f, scores[i] - 1.5f));
        largest = std::max(largest, double{scores[i]});
        sum += std::exp(double{scores[i]} + 2.0);
      }
      EXPECT_EQ(kept, scores);
      EXPECT_EQ(most, folded.max);
      EXPECT_EQ(most, static_cast<float>(largest));
      EXPECT_NEAR(folded.sum, sum, 1e-5 * sum);
    }
  }
}

}  // namespace
}  // namespace cairn
