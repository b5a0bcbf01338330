// Properties of attention beyond the table: what is never read, what is seen, and infinities.
#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/append.h"
#include "kernels/softmax_state.h"
#include "tests/kernels/attention_case.h"
#include "tests/support/tolerance.h"

namespace cairn {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

AttentionCase Grouped(int32_t rows) {
  return {"", rows, 2, 64, 16, 5, 16, DType::kF32, SoftmaxMode::kGrouped};
}

void ExpectClose(const AttentionResult& a, const AttentionResult& b) {
  EXPECT_LE(LargestDifference(a.o, b.o), ToleranceOf(DType::kF32).kernel);
  EXPECT_LE(LargestDifference(a.lse, b.lse), ToleranceOf(DType::kF32).kernel);
}

TEST(Attention, ARowThatSeesNothingIsZero) {
  for (const int32_t rows : {2, 24}) {
    AttentionCase from = Grouped(rows);
    from.first_slot = 10;
    from.back = 5 * 16;
    AttentionData data(from, 1);
    for (const AttentionResult& result : {data.Reference(), data.Fast()}) {
      for (const float x : result.o) EXPECT_EQ(x, 0.0f);
      for (const float x : result.lse) EXPECT_EQ(x, -kInfinity);
    }
  }
}

TEST(Attention, LandmarkValuesAndOwnLandmarksAreNotRead) {
  for (const int32_t rows : {2, 24}) {
    AttentionData data(Grouped(rows), 2);
    const AttentionResult before = data.Fast();
    const BlockShape shape{16, 64, DType::kF32};
    const std::vector<float> nan(64, std::nanf(""));
    for (auto& payload : data.payloads) {
      ConvertFromFloat(DType::kF32, nan.data(), payload.data() + shape.value_offset(15), 64);
    }
    // The last block is the last row's own section.
    ConvertFromFloat(DType::kF32, nan.data(), data.payloads.back().data() + shape.key_offset(15),
                     64);
    for (const AttentionResult& result : {data.Fast(), data.Reference()}) {
      ExpectClose(result, before);
    }
  }
}

TEST(Attention, ALandmarkRowSeesWhatTheRowBeforeItSees) {
  AttentionData data(Grouped(16), 3);
  // Same query and a position that differs by one: undo the difference by moving the query.
  const int64_t stride = data.stride();
  for (int64_t i = 0; i < stride; ++i) {
    data.queries[static_cast<size_t>(15 * stride + i)] =
        data.queries[static_cast<size_t>(14 * stride + i)];
  }
  RopeTable still(RopeStyle::kHalfSplit, std::vector<double>(32, 0.0));
  still.Reserve(200);
  data.rope = still;
  const AttentionResult result = data.Fast();
  for (size_t i = 0; i < 2 * 64; ++i) EXPECT_EQ(result.o[15 * 128 + i], result.o[14 * 128 + i]);
  for (size_t g = 0; g < 2; ++g) EXPECT_EQ(result.lse[30 + g], result.lse[28 + g]);
}

// Scores of −inf take nothing; a block with nothing but them keeps its gate's mass.
TEST(Attention, ScoresOfMinusInfinity) {
  for (const int32_t rows : {1, 9}) {
    for (const SoftmaxMode mode : {SoftmaxMode::kPlain, SoftmaxMode::kGrouped}) {
      AttentionCase from = Grouped(rows);
      from.mode = mode;
      AttentionData data(from, 4);
      RopeTable still(RopeStyle::kHalfSplit, std::vector<double>(32, 0.0));
      still.Reserve(200);
      data.rope = still;
      for (float& q : data.queries) q = std::fabs(q) + 1.0f;
      const BlockShape shape{16, 64, DType::kF32};
      const std::vector<float> low(64, -3e38f);
      for (int32_t t = 0; t < 15; ++t) {
        ConvertFromFloat(DType::kF32, low.data(), data.payloads[1].data() + shape.key_offset(t),
                         64);
      }
      const AttentionResult result = data.Fast();
      for (const float x : result.o) ASSERT_TRUE(std::isfinite(x));
      ExpectClose(result, data.Reference());
    }
  }
}

TEST(Attention, PartsOverDisjointBlocksMerge) {
  for (const int32_t rows : {3, 40}) {
    for (const SoftmaxMode mode : {SoftmaxMode::kPlain, SoftmaxMode::kGrouped}) {
      AttentionCase from = Grouped(rows);
      from.mode = mode;
      AttentionData data(from, 5);
      const AttentionResult whole = data.Fast();
      const std::vector<BlockRef> all = data.blocks;
      data.blocks.assign(all.begin(), all.begin() + 2);
      AttentionResult merged = data.Fast();
      data.blocks.assign(all.begin() + 2, all.end());
      const AttentionResult rest = data.Fast();
      MergeParts(rows * 2, 64, merged.o.data(), 64, merged.lse.data(), rest.o.data(), 64,
                 rest.lse.data());
      ExpectClose(merged, whole);
    }
  }
}

// Only differences of positions matter, and a block is valid at any slot.
TEST(Attention, MovingEverythingChangesNothing) {
  for (const int32_t rows : {3, 40}) {
    AttentionData data(Grouped(rows), 6);
    const AttentionResult here = data.Fast();
    data.rope.Reserve(200);
    for (BlockRef& block : data.blocks) block.position += 100'000;
    for (int32_t& position : data.positions) position += 100'000;
    ExpectClose(data.Fast(), here);
  }
}

}  // namespace
}  // namespace cairn
