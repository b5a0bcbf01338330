#include "engine/local_rows.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "kernels/append.h"
#include "kernels/block_rows.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

constexpr int32_t kBlockRows = 4, kDim = 6, kLayers = 2, kHeads = 3;

class LocalRowsTest : public testing::TestWithParam<DType> {
 protected:
  LocalRowsTest()
      : problem_(test::MakeShape(AttentionMode::kUnmodified, kLayers, kHeads, kHeads,
                                 {kBlockRows, kDim, GetParam()}),
                 40, 11),
        rope_(RopeStyle::kHalfSplit, problem_.shape.inverse_frequencies) {
    rope_.Reserve(kBlockRows);
  }

  void Append(LocalRows& local, int32_t first, int32_t rows, int64_t source) {
    for (int32_t layer = 0; layer < kLayers; ++layer) {
      for (int32_t head = 0; head < kHeads; ++head) {
        local.Append(rope_, layer, head, first, rows, problem_.K(layer, source) + head * kDim,
                     problem_.V(layer, source) + head * kDim, problem_.kv_width());
      }
    }
  }

  /// Row `row` of local block `index` is row `source` of the problem, in all layers and heads.
  void ExpectRow(const LocalRows& local, int32_t index, int32_t row, int64_t source) {
    const BlockShape& shape = problem_.shape.block;
    for (int32_t layer = 0; layer < kLayers; ++layer) {
      for (int32_t head = 0; head < kHeads; ++head) {
        std::vector<std::byte> expected(shape.payload_bytes());
        AppendRows(shape, rope_, row, 1, problem_.K(layer, source) + head * kDim,
                   problem_.V(layer, source) + head * kDim, kDim, expected.data());
        const std::byte* found = local.block(layer, head, index);
        for (const size_t offset : {shape.key_offset(row), shape.value_offset(row)}) {
          EXPECT_EQ(std::memcmp(found + offset, expected.data() + offset, shape.row_bytes()), 0)
              << "layer " << layer << " head " << head << " row " << row << " from " << source;
        }
      }
    }
  }

  test::Problem problem_;
  RopeTable rope_;
};

TEST_P(LocalRowsTest, HoldsTheLongestStepAfterTheLongestTail) {
  for (int32_t step = 1; step <= 3 * kBlockRows; ++step) {
    const LocalRows local(problem_.shape, step);
    EXPECT_GE(local.capacity_blocks() * kBlockRows, kBlockRows - 1 + step) << step;
  }
}

TEST_P(LocalRowsTest, AppendsAcrossBlocks) {
  LocalRows local(problem_.shape, 10);
  Append(local, 0, 3, 20);
  Append(local, 3, 10, 23);
  for (int32_t i = 0; i < 13; ++i) ExpectRow(local, i / kBlockRows, i % kBlockRows, 20 + i);
}

TEST_P(LocalRowsTest, DropsCompleteBlocks) {
  LocalRows local(problem_.shape, 10);
  Append(local, 0, 10, 0);
  local.DropBlocks(2, 2);
  ExpectRow(local, 0, 0, 8);
  ExpectRow(local, 0, 1, 9);
  Append(local, 2, 7, 10);  // goes on behind the tail
  for (int32_t i = 0; i < 9; ++i) ExpectRow(local, i / kBlockRows, i % kBlockRows, 8 + i);
}

TEST_P(LocalRowsTest, SealsBlocksAsTheyAreStored) {
  SessionShape shape = problem_.shape;
  LocalRows plain(shape, 10);
  Append(plain, 0, 10, 0);
  plain.Seal(2);
  EXPECT_EQ(plain.sealed(1, 2, 1), plain.block(1, 2, 1));  // as they are
  shape.block.dtype = DType::kQ8;
  LocalRows codes(shape, 10);
  Append(codes, 0, 10, 0);
  codes.Seal(2);
  std::vector<std::byte> expected(shape.block.payload_bytes());
  for (int32_t layer = 0; layer < kLayers; ++layer) {
    for (int32_t head = 0; head < kHeads; ++head) {
      for (int32_t i = 0; i < 2; ++i) {
        SealBlock(shape.block, codes.block(layer, head, i), expected.data());
        EXPECT_EQ(std::memcmp(codes.sealed(layer, head, i), expected.data(), expected.size()), 0)
            << "layer " << layer << " head " << head << " block " << i;
      }
    }
  }
}

TEST_P(LocalRowsTest, SavesAndLoadsTheTail) {
  LocalRows local(problem_.shape, 4);
  Append(local, 0, 3, 5);
  for (int32_t rows = 0; rows <= 3; ++rows) {
    const std::string tail = local.SaveTail(rows);
    EXPECT_EQ(tail.size(),
              static_cast<size_t>(kLayers * kHeads * 2 * rows) * problem_.shape.block.row_bytes());
    LocalRows other(problem_.shape, 8);
    ASSERT_GOOD(other.LoadTail(tail, rows));
    for (int32_t i = 0; i < rows; ++i) ExpectRow(other, 0, i, 5 + i);
    EXPECT_EQ(other.SaveTail(rows), tail);
    EXPECT_ERROR(other.LoadTail(tail, rows + 1), Errc::kCorruption, "unfinished block");
    EXPECT_ERROR(other.LoadTail(tail + "x", rows), Errc::kCorruption, "unfinished block");
  }
}

INSTANTIATE_TEST_SUITE_P(Types, LocalRowsTest, testing::Values(DType::kF32, DType::kF16),
                         [](const auto& info) { return std::string(DTypeName(info.param)); });

}  // namespace
}  // namespace cairn
