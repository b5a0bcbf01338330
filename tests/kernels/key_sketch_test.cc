// Sketches of keys: bounds are never below what a block weighs, estimates are near it.
#include "kernels/key_sketch.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/append.h"
#include "kernels/block_rows.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

struct SketchCase {
  BlockShape shape;
  float spread;  // of keys
};

class KeySketchTest : public testing::TestWithParam<SketchCase> {
 protected:
  static constexpr int32_t kBlocks = 5;
  static constexpr int32_t kQueries = 40;

  const BlockShape& shape() const { return GetParam().shape; }

  /// Payloads of `kBlocks` blocks and their sketches.
  void Make(uint64_t stream) {
    TestRandom random(stream);
    const auto dim = static_cast<size_t>(shape().head_dim);
    RopeTable rope(RopeStyle::kHalfSplit, RopeTable::InverseFrequencies(10000.0, shape().head_dim));
    rope.Reserve(shape().block_rows);
    const BlockShape open = shape().open();
    std::vector<std::byte> grown(open.payload_bytes());
    payloads_.resize(kBlocks * shape().payload_bytes());
    sketches_.assign(kBlocks * KeySketchBytes(shape()), std::byte{0xff});
    for (int32_t i = 0; i < kBlocks; ++i) {
      const auto k = random.Normals(static_cast<size_t>(open.block_rows) * dim, GetParam().spread);
      const auto v = random.Normals(k.size());
      AppendRows(open, rope, 0, open.block_rows, k.data(), v.data(), open.head_dim, grown.data());
      std::byte* payload = payloads_.data() + i * shape().payload_bytes();
      if (shape().dtype == DType::kQ8) {
        SealBlock(shape(), grown.data(), payload);
      } else {
        std::copy(grown.begin(), grown.end(), payload);
      }
      SketchKeys(shape(), payload, sketches_.data() + i * KeySketchBytes(shape()));
    }
    queries_ = random.Normals(static_cast<size_t>(kQueries) * dim, 0.4f);
  }

  double TrueWeight(int32_t block, int32_t query) const {
    std::vector<float> key(static_cast<size_t>(shape().head_dim));
    double sum = 0;
    for (int32_t t = 0; t < shape().block_rows; ++t) {
      ReadKey(shape(), payloads_.data() + block * shape().payload_bytes(), t, key.data());
      double score = 0;
      for (size_t c = 0; c < key.size(); ++c) {
        score += static_cast<double>(queries_[query * key.size() + c]) * key[c];
      }
      sum += std::exp(score);
    }
    return std::log(sum);
  }

  void Weigh(int64_t stride, void (*weigh)(const SketchParams&) = WeighSketches,
             int32_t rows = kQueries) {
    estimates_.assign(static_cast<size_t>(kQueries * stride), -1e9f);
    bounds_ = estimates_;
    weigh({.shape = shape(),
           .sketches = sketches_.data(),
           .count = kBlocks,
           .queries = queries_.data(),
           .rows = rows,
           .estimates = estimates_.data(),
           .bounds = bounds_.data(),
           .stride = stride});
  }

  std::vector<std::byte> payloads_, sketches_;
  std::vector<float> queries_, estimates_, bounds_;
};

TEST_P(KeySketchTest, BoundsHoldAndEstimatesAreNear) {
  const int64_t stride = kBlocks + 2;
  double worst = 0, slack = 0;
  for (uint64_t stream = 1; stream <= 10; ++stream) {
    Make(stream);
    Weigh(stride);
    for (int32_t query = 0; query < kQueries; ++query) {
      for (int32_t block = 0; block < kBlocks; ++block) {
        const double truth = TrueWeight(block, query);
        const float bound = bounds_[query * stride + block];
        const float estimate = estimates_[query * stride + block];
        ASSERT_GE(bound, truth - 1e-4) << "block " << block << ", query " << query;
        ASSERT_LE(estimate, bound);
        worst = std::max(worst, std::abs(estimate - truth));
        slack = std::max(slack, bound - truth);
      }
    }
  }
  // A fifteenth of a channel's range is about a third of its spread: so far is a number off at
  // most half of that, and a query is 0.4 · √D long.
  const double dim = shape().head_dim;
  EXPECT_LT(worst, 0.2 * std::sqrt(dim) * GetParam().spread);
  EXPECT_LT(slack, 0.06 * dim * GetParam().spread);
  EXPECT_GT(slack, 0.002 * dim * GetParam().spread) << "these were not sketches";
}

TEST_P(KeySketchTest, IsWhatTheReferenceSays) {
  Make(4);
  for (const int32_t rows : {1, 2, 3, 4, 7, kQueries}) {
    Weigh(kBlocks, WeighSketchesReference, rows);
    const auto estimates = estimates_, bounds = bounds_;
    Weigh(kBlocks, WeighSketches, rows);
    for (size_t i = 0; i < estimates.size(); ++i) {
      ASSERT_NEAR(estimates_[i], estimates[i], 2e-4) << rows << " rows, number " << i;
      ASSERT_NEAR(bounds_[i], bounds[i], 2e-4) << rows << " rows, number " << i;
    }
  }
}

TEST_P(KeySketchTest, WritesItsOwnBytesAndNoMore) {
  Make(3);
  std::vector<std::byte> guarded(KeySketchBytes(shape()) + 1, std::byte{0x5a});
  SketchKeys(shape(), payloads_.data(), guarded.data());
  EXPECT_EQ(guarded.back(), std::byte{0x5a});
  guarded.pop_back();
  EXPECT_TRUE(std::equal(guarded.begin(), guarded.end(), sketches_.begin()));
}

INSTANTIATE_TEST_SUITE_P(Shapes, KeySketchTest,
                         testing::Values(SketchCase{{64, 64, DType::kF16}, 1.0f},
                                         SketchCase{{16, 32, DType::kBF16}, 2.0f},
                                         SketchCase{{7, 6, DType::kF32}, 1.0f},
                                         SketchCase{{64, 128, DType::kQ8}, 1.0f},
                                         SketchCase{{3, 8, DType::kF16}, 1.0f},
                                         SketchCase{{49, 80, DType::kF16}, 1.0f}));

/// Rows that are all alike are a sketch without loss.
TEST(KeySketchOfEqualRows, IsExact) {
  const BlockShape shape{8, 4, DType::kF16};
  std::vector<std::byte> payload(shape.payload_bytes());
  const std::vector<float> key{1.5f, -2.0f, 0.0f, 0.25f};
  for (int32_t t = 0; t < shape.block_rows; ++t) {
    ConvertFromFloat(DType::kF16, key.data(), payload.data() + shape.key_offset(t), key.size());
  }
  std::vector<std::byte> sketch(KeySketchBytes(shape));
  SketchKeys(shape, payload.data(), sketch.data());
  const std::vector<float> query{1, 1, 1, 1};
  float estimate = 0, bound = 0;
  WeighSketches({.shape = shape,
                 .sketches = sketch.data(),
                 .count = 1,
                 .queries = query.data(),
                 .rows = 1,
                 .estimates = &estimate,
                 .bounds = &bound,
                 .stride = 1});
  EXPECT_NEAR(estimate, std::log(8.0) - 0.25, 1e-6);
  EXPECT_EQ(estimate, bound);
}

}  // namespace
}  // namespace cairn
