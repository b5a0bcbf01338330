// Blocks on a CUDA device against their twins on the CPU, byte by byte.
#include "kernels/cuda/blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/append.h"
#include "kernels/block_rows.h"
#include "tests/support/cuda_on_cpu/thread_block.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

constexpr int32_t kHeads = 3;
constexpr uint64_t kOrders = 3;

using Payloads = std::vector<std::vector<std::byte>>;

Payloads Unwritten(size_t count, size_t bytes) {
  return Payloads(count, std::vector<std::byte>(bytes, std::byte{0xff}));
}

std::vector<std::byte*> Pointers(Payloads* payloads) {
  std::vector<std::byte*> pointers;
  for (auto& payload : *payloads) pointers.push_back(payload.data());
  return pointers;
}
std::vector<const std::byte*> Pointers(const Payloads& payloads) {
  std::vector<const std::byte*> pointers;
  for (const auto& payload : payloads) pointers.push_back(payload.data());
  return pointers;
}

void UnderSomeOrders(const std::function<void()>& check) {
  for (uint64_t order = 0; order < kOrders; ++order) {
    SCOPED_TRACE(order);
    cuda_on_cpu::SetOrderSeed(TestSeed() + order);
    check();
  }
}

// Rows of k and v for all heads, and the blocks that they fill.
class CudaBlocks : public testing::TestWithParam<std::tuple<DType, RopeStyle, int32_t>> {
 protected:
  static constexpr int32_t kRows = 21;

  CudaBlocks()
      : shape_{kRows, std::get<2>(GetParam()), std::get<0>(GetParam())},
        rope_(std::get<1>(GetParam()), RopeTable::InverseFrequencies(10000.0, shape_.head_dim)) {
    rope_.Reserve(kRows);
    TestRandom random(1);
    keys_ = random.Normals(static_cast<size_t>(kRows * stride()));
    values_ = random.Normals(static_cast<size_t>(kRows * stride()));
    // A channel of zeros, and one of great numbers.
    for (int64_t t = 0; t < kRows; ++t) {
      values_[static_cast<size_t>(t * stride() + 1)] = 0.0f;
      values_[static_cast<size_t>(t * stride() + 2)] *= 1000.0f;
    }
  }
  int64_t stride() const { return int64_t{kHeads} * shape_.head_dim + 5; }
  cuda::DeviceRope rope() const { return {rope_.at(0), rope_.positions(), rope_.style()}; }

  // Rows [first, first + rows), of one head by the CPU.
  void Append(int32_t first, int32_t rows, Payloads* payloads) const {
    for (int64_t h = 0; h < kHeads; ++h) {
      const int64_t at = first * stride() + h * shape_.head_dim;
      cairn::AppendRows(shape_.open(), rope_, first, rows, keys_.data() + at, values_.data() + at,
                        stride(), (*payloads)[static_cast<size_t>(h)].data());
    }
  }
  Payloads Open() const {
    Payloads payloads = Unwritten(kHeads, shape_.open().payload_bytes());
    Append(0, kRows, &payloads);
    return payloads;
  }
  Payloads Complete() const {
    Payloads open = Open();
    if (shape_.dtype != DType::kQ8) return open;
    Payloads sealed = Unwritten(kHeads, shape_.payload_bytes());
    for (size_t h = 0; h < kHeads; ++h) SealBlock(shape_, open[h].data(), sealed[h].data());
    return sealed;
  }

  BlockShape shape_;
  RopeTable rope_;
  std::vector<float> keys_, values_;
};

// Blocks of a head lie one behind the other, with something between heads; rows go on from one
// into the next.
TEST_P(CudaBlocks, AppendedRowsAreThoseOfTheCpu) {
  constexpr int32_t kBlocks = 3;
  const BlockShape open = shape_.open();
  const size_t bytes = (open.payload_bytes() + 15) / 16 * 16;
  const size_t head_bytes = kBlocks * bytes + 32;
  UnderSomeOrders([&] {
    std::vector<std::byte> expected(kHeads * head_bytes, std::byte{0xff}), found = expected;
    const cuda::LocalBlocks local = {kHeads, found.data(), static_cast<int64_t>(head_bytes),
                                     static_cast<int64_t>(bytes)};
    for (const auto& [first, rows] :
         {std::pair{0, 4}, {4, 1}, {5, 0}, {9, kRows}, {2 * kRows, 3}}) {
      for (int32_t row = 0; row < rows; ++row) {
        for (size_t h = 0; h < kHeads; ++h) {
          const auto at = row * stride() + static_cast<int64_t>(h) * open.head_dim;
          const int32_t place = first + row;
          cairn::AppendRows(
              open, rope_, place % kRows, 1, keys_.data() + at, values_.data() + at, stride(),
              expected.data() + h * head_bytes + static_cast<size_t>(place / kRows) * bytes);
        }
      }
      const std::vector<int32_t> first_row = {first};
      ASSERT_TRUE(cuda::AppendRows(open, rope(), local, first_row.data(), rows, keys_.data(),
                                   values_.data(), stride(), nullptr)
                      .has_value());
      ASSERT_EQ(found, expected) << "after rows from " << first;
    }
  });
}

TEST_P(CudaBlocks, LandmarksAndMeansAreThoseOfTheCpu) {
  const Payloads payloads = Complete();
  const std::vector<const std::byte*> pointers = Pointers(payloads);
  const auto dim = static_cast<size_t>(shape_.head_dim);
  UnderSomeOrders([&] {
    for (const int32_t count : {0, 1, 4, 5, kRows}) {  // 0: landmarks
      const size_t floats = static_cast<size_t>(count == 0 ? 1 : count) * dim;
      std::vector<float> expected(kHeads * floats), found(kHeads * floats, 7.0f);
      for (size_t h = 0; h < kHeads; ++h) {
        float* to = expected.data() + h * floats;
        count == 0 ? LandmarkKey(shape_, pointers[h], to)
                   : SubBlockMeans(shape_, pointers[h], count, to);
      }
      const Status done =
          count == 0
              ? cuda::LandmarkKeys(shape_, kHeads, pointers.data(), found.data(), nullptr)
              : cuda::SubBlockMeans(shape_, kHeads, count, pointers.data(), found.data(), nullptr);
      ASSERT_TRUE(done.has_value());
      ASSERT_EQ(found, expected) << count << " means";
    }
  });
}

class CudaSeal : public CudaBlocks {};

TEST_P(CudaSeal, SealedBytesAreThoseOfTheCpu) {
  const Payloads open = Open();
  const Payloads expected = Complete();
  UnderSomeOrders([&] {
    Payloads found = Unwritten(kHeads, shape_.payload_bytes());
    ASSERT_TRUE(
        cuda::SealBlocks(shape_, kHeads, Pointers(open).data(), Pointers(&found).data(), nullptr)
            .has_value());
    ASSERT_EQ(found, expected);
  });
}

std::string ShapeName(const testing::TestParamInfo<CudaBlocks::ParamType>& info) {
  return std::string(DTypeName(std::get<0>(info.param))) +
         (std::get<1>(info.param) == RopeStyle::kHalfSplit ? "_halves_" : "_woven_") +
         std::to_string(std::get<2>(info.param));
}

const auto kStyles = testing::Values(RopeStyle::kHalfSplit, RopeStyle::kInterleaved);
const auto kHeadDims = testing::Values(12, 64, 256);

INSTANTIATE_TEST_SUITE_P(Shapes, CudaBlocks,
                         testing::Combine(testing::Values(DType::kF32, DType::kF16, DType::kBF16,
                                                          DType::kQ8),
                                          kStyles, kHeadDims),
                         ShapeName);
INSTANTIATE_TEST_SUITE_P(Shapes, CudaSeal,
                         testing::Combine(testing::Values(DType::kQ8), kStyles, kHeadDims),
                         ShapeName);

// Numbers whose rounding is a special case, through the twin that keeps bytes.
TEST(CudaRounding, HalvesRoundAsOnTheCpu) {
  const std::vector<float> numbers = {0.0f,
                                      -0.0f,
                                      1.0f + 1.0f / 2048,
                                      1.0f + 3.0f / 2048,
                                      1.0f + 1.0f / 256,
                                      1.0f + 3.0f / 256,
                                      65504.0f,
                                      65520.0f,
                                      3.4e38f,
                                      6e-8f,
                                      1e-40f,
                                      -std::numeric_limits<float>::infinity(),
                                      std::nanf(""),
                                      std::bit_cast<float>(0x7fffffffu),
                                      std::bit_cast<float>(0xff800001u),
                                      65519.9f,
                                      2.0f,
                                      -1.0f / 3};
  std::vector<float> keys = numbers;  // which are computed with
  std::replace_if(
      keys.begin(), keys.end(), [](float x) { return std::isnan(x); }, 0.5f);
  const auto dim = static_cast<int32_t>(numbers.size());
  RopeTable rope(RopeStyle::kHalfSplit, std::vector<double>(numbers.size() / 2, 0.0));
  rope.Reserve(1);
  const cuda::DeviceRope device_rope = {rope.at(0), 1, rope.style()};
  for (const DType type : {DType::kF16, DType::kBF16}) {
    const BlockShape shape = {1, dim, type};
    Payloads expected = Unwritten(1, shape.payload_bytes());
    Payloads found = expected;
    cairn::AppendRows(shape, rope, 0, 1, keys.data(), numbers.data(), dim, expected[0].data());
    const std::vector<int32_t> first = {0};
    ASSERT_TRUE(cuda::AppendRows(shape, device_rope, {1, found[0].data(), 0, 0}, first.data(), 1,
                                 keys.data(), numbers.data(), dim, nullptr)
                    .has_value());
    EXPECT_EQ(found, expected) << DTypeName(type);
  }
}

TEST(CudaGather, EveryByteOfEveryBlockIsCopiedAndNoneBeside) {
  TestRandom random(2);
  UnderSomeOrders([&] {
    for (const size_t bytes : {1u, 15u, 16u, 100u, 8192u, 8193u, 20000u, 24576u}) {
      Payloads sources = Unwritten(5, bytes);
      for (auto& source : sources) {
        for (auto& b : source) b = static_cast<std::byte>(random.Int(0, 255));
      }
      Payloads targets = Unwritten(5, bytes + 7);
      ASSERT_TRUE(
          cuda::GatherBlocks(5, bytes, Pointers(sources).data(), Pointers(&targets).data(), nullptr)
              .has_value());
      for (size_t i = 0; i < 5; ++i) {
        ASSERT_TRUE(std::equal(sources[i].begin(), sources[i].end(), targets[i].begin())) << bytes;
        for (size_t at = bytes; at < bytes + 7; ++at) ASSERT_EQ(targets[i][at], std::byte{0xff});
      }
    }
  });
}

TEST(CudaBlocksOfNothing, LaunchNothing) {
  const BlockShape shape = {16, 64, DType::kF16};
  EXPECT_TRUE(cuda::LandmarkKeys(shape, 0, nullptr, nullptr, nullptr).has_value());
  EXPECT_TRUE(cuda::GatherBlocks(0, 16, nullptr, nullptr, nullptr).has_value());
  const Status refused =
      cuda::LandmarkKeys({16, 64 + 1, DType::kF16}, 1, nullptr, nullptr, nullptr);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Errc::kUnsupported);
}

}  // namespace
}  // namespace cairn
