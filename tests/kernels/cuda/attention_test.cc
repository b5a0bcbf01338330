// Attention on a CUDA device against its twin, over the table of all implementations and one of
// its own, under several orders of threads: the results must agree, and be the same bits.
#include "kernels/cuda/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "tests/kernels/attention_table.h"
#include "tests/kernels/cuda/cuda_attention.h"
#include "tests/support/cuda_on_cpu/thread_block.h"
#include "tests/support/tolerance.h"

namespace cairn {
namespace {

constexpr uint64_t kOrders = 3;
constexpr int32_t kHeads = 2;

void ExpectAgrees(const AttentionCase& from, const AttentionResult& expected,
                  const std::function<AttentionResult()>& run) {
  const float tolerance = ToleranceOf(from.dtype).kernel;
  AttentionResult first;
  for (uint64_t order = 0; order < kOrders; ++order) {
    cuda_on_cpu::SetOrderSeed(TestSeed() + order);
    const AttentionResult result = run();
    ASSERT_LE(LargestDifference(result.o, expected.o), tolerance) << "order " << order;
    ASSERT_LE(LargestDifference(result.lse, expected.lse), tolerance) << "order " << order;
    if (order == 0) first = result;
    ASSERT_EQ(result.o, first.o) << "order " << order;
    ASSERT_EQ(result.lse, first.lse) << "order " << order;
  }
}

class CudaDecode : public testing::TestWithParam<AttentionCase> {};
class CudaPrefill : public testing::TestWithParam<AttentionCase> {};

TEST_P(CudaDecode, AgreesWithReference) {
  CudaAttention data(GetParam(), kHeads, 1);
  const AttentionResult expected = data.Reference();
  for (const int32_t splits : {1, 3}) {
    SCOPED_TRACE(splits);
    ExpectAgrees(GetParam(), expected, [&] { return data.Decode(splits); });
    ExpectAgrees(GetParam(), expected, [&] { return data.DecodeInOneLaunch(splits); });
  }
}

TEST_P(CudaPrefill, AgreesWithReference) {
  CudaAttention data(GetParam(), kHeads, 2);
  ExpectAgrees(GetParam(), data.Reference(), [&] { return data.Prefill(); });
}

std::string CaseName(const testing::TestParamInfo<AttentionCase>& info) { return info.param.name; }

std::vector<AttentionCase> SharedCases(bool few_rows) {
  std::vector<AttentionCase> cases;
  for (const AttentionCase& c : SmallAttentionCases()) {
    const int32_t tiles = (c.rows * c.group + 31) / 32;
    if (few_rows ? c.rows <= 4 : tiles * c.blocks <= 80) cases.push_back(c);
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Shared, CudaDecode, testing::ValuesIn(SharedCases(true)), CaseName);
INSTANTIATE_TEST_SUITE_P(Shared, CudaPrefill, testing::ValuesIn(SharedCases(false)), CaseName);

// Every head size, type and mode, with groups that fill one pass, part of one, and two.
std::vector<AttentionCase> Sizes() {
  std::vector<AttentionCase> cases;
  int32_t number = 0;
  for (const int32_t dim : {64, 72, 80, 96, 128, 256, 250, 18}) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8}) {
      for (const SoftmaxMode mode : {SoftmaxMode::kPlain, SoftmaxMode::kGrouped}) {
        AttentionCase c;
        c.name = std::string(mode == SoftmaxMode::kPlain ? "plain_" : "grouped_") +
                 std::string(DTypeName(type)) + "_" + std::to_string(dim);
        c.rows = 1 + number % 2;
        c.group = std::vector<int32_t>{3, 4, 9}[static_cast<size_t>(number % 3)];
        c.head_dim = dim;
        c.block_rows = 17;
        c.blocks = 4;
        c.last_rows = type == DType::kQ8 ? 17 : 6;
        c.dtype = type;
        c.mode = mode;
        c.style = number % 4 < 2 ? RopeStyle::kHalfSplit : RopeStyle::kInterleaved;
        c.hole = number % 3 == 0;
        cases.push_back(c);
        ++number;
      }
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Sizes, CudaDecode, testing::ValuesIn(Sizes()), CaseName);
INSTANTIATE_TEST_SUITE_P(Sizes, CudaPrefill, testing::ValuesIn(Sizes()), CaseName);

// Blocks of several tiles, the last of them part of one, and of none: a landmark alone.
std::vector<AttentionCase> Tiles(int32_t most_rows) {
  std::vector<AttentionCase> cases;
  for (const DType type : {DType::kF16, DType::kBF16, DType::kQ8}) {
    for (const SoftmaxMode mode : {SoftmaxMode::kPlain, SoftmaxMode::kGrouped}) {
      for (const int32_t dim : {40, 64, 256}) {
        for (const int32_t rows : {1, 97, 150}) {
          AttentionCase c;
          c.name = std::string(mode == SoftmaxMode::kPlain ? "plain_" : "grouped_") +
                   std::string(DTypeName(type)) + "_" + std::to_string(dim) + "_rows_" +
                   std::to_string(rows);
          c.rows = std::min(rows == 1 ? 3 : 11, most_rows);
          c.group = 2;
          c.head_dim = dim;
          c.block_rows = rows;
          c.blocks = rows == 1 ? 4 : 2;
          c.last_rows = type == DType::kQ8 || rows == 1 ? rows : rows - 30;
          c.dtype = type;
          c.mode = mode;
          c.back = rows == 97 ? 40 : 0;
          cases.push_back(c);
        }
      }
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Tiles, CudaDecode, testing::ValuesIn(Tiles(1)), CaseName);
INSTANTIATE_TEST_SUITE_P(Tiles, CudaPrefill, testing::ValuesIn(Tiles(11)), CaseName);

// Where that is allowed queries and weights are rounded to 16 bits, and to nothing worse.
class CudaRounded : public CudaPrefill {};

TEST_P(CudaRounded, AgreesWithReference) {
  AttentionCase from = GetParam();
  CudaAttention exact(from, kHeads, 6);
  const AttentionResult expected = exact.Reference();
  from.bf16 = true;
  CudaAttention data(from, kHeads, 6);
  const AttentionResult result = data.Prefill();
  const float part = from.dtype == DType::kBF16 ? 1.0f : 0.125f;  // f16 has three bits more
  EXPECT_LE(LargestDifference(result.o, expected.o), part * 4e-2f);
  EXPECT_LE(LargestDifference(result.lse, expected.lse), part * 2e-2f);
  EXPECT_LE(MeanDifference(result.o, expected.o), part * 2e-3f);
  EXPECT_EQ(result.o == exact.Prefill().o, from.dtype == DType::kF32);
}

INSTANTIATE_TEST_SUITE_P(Sizes, CudaRounded, testing::ValuesIn(Sizes()), CaseName);

TEST(CudaAttend, QueriesAndKeysMayBeOfAnySize) {
  for (const DType type : {DType::kF16, DType::kBF16, DType::kQ8}) {
    for (const float factor : {262144.0f, 0.03125f}) {
      AttentionCase from = {"", 9, 4, 64, 33, 3, 33, type, SoftmaxMode::kGrouped};
      from.query_factor = factor;
      CudaAttention data(from, kHeads, 7);
      SCOPED_TRACE(factor);
      ExpectAgrees(from, data.Reference(), [&] { return data.Prefill(); });
      ExpectAgrees(from, data.Reference(), [&] { return data.Decode(2); });
    }
  }
}

TEST(CudaAttend, BlocksTooLargeForTensorCoresAreAttendedWithoutThem) {
  AttentionCase from = {"", 2, 2, 128, 900, 2, 700, DType::kBF16, SoftmaxMode::kGrouped};
  CudaAttention data(from, 1, 8);
  ExpectAgrees(from, data.Reference(), [&] { return data.Prefill(); });
}

TEST(CudaAttend, ManyBlocks) {
  const AttentionCase from = {
      "", 1, 3, 32, 8, 60, 5, DType::kF16, SoftmaxMode::kGrouped, RopeStyle::kHalfSplit, true};
  CudaAttention data(from, kHeads, 5);
  ExpectAgrees(from, data.Reference(), [&] { return data.Decode(7); });
  ExpectAgrees(from, data.Reference(), [&] { return data.Prefill(); });
}

TEST(CudaAttend, MorePartsThanBlocksAreEmptyParts) {
  const AttentionCase from = {"", 2, 3, 64, 16, 3, 9, DType::kF16, SoftmaxMode::kGrouped};
  CudaAttention data(from, 3, 3);
  ExpectAgrees(from, data.Reference(), [&] { return data.Decode(11); });
  ExpectAgrees(from, data.Reference(), [&] { return data.DecodeInOneLaunch(11); });
}

TEST(CudaAttend, MorePartsThanLanesAreMerged) {
  for (const int32_t dim : {64, 18}) {
    const AttentionCase from = {"", 2, 3, dim, 5, 40, 4, DType::kF16, SoftmaxMode::kPlain};
    CudaAttention data(from, 2, 6);
    ExpectAgrees(from, data.Reference(), [&] { return data.Decode(40); });
    ExpectAgrees(from, data.Reference(), [&] { return data.DecodeInOneLaunch(39); });
  }
}

TEST(CudaAttend, BlocksOfManyRowsTakeMoreSharedMemory) {
  const AttentionCase from = {"", 2, 2, 32, 500, 2, 470, DType::kF16, SoftmaxMode::kGrouped};
  CudaAttention data(from, 1, 4);
  ExpectAgrees(from, data.Reference(), [&] { return data.Decode(1); });
  ExpectAgrees(from, data.Reference(), [&] { return data.Prefill(); });
}

TEST(CudaAttend, ShapesThatKernelsDoNotTakeAreRefusedByName) {
  cuda::AttendParams params;
  params.rows = 1;
  const auto message = [](const Status& status) {
    return status.has_value() ? std::string() : status.error().message;
  };
  params.shape = {64, 258, DType::kF16};
  EXPECT_EQ(message(cuda::AttendPrefill(params, nullptr)),
            "heads of 258 numbers are not for CUDA kernels, which take even sizes up to 256; use "
            "the CPU");
  params.shape = {1025, 64, DType::kF16};
  EXPECT_EQ(
      message(cuda::AttendDecode(params, {}, nullptr)),
      "blocks of 1025 rows are not for CUDA kernels, which take up to 1024; use smaller ones");
  params.shape = {64, 64, DType::kF16};
  params.rows = 65536;
  EXPECT_NE(message(cuda::AttendPrefill(params, nullptr)).find("use fewer rows"),
            std::string::npos);
}

}  // namespace
}  // namespace cairn
