#include "kernels/cuda/transformer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/transformer.h"
#include "tests/support/cuda_on_cpu/thread_block.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr uint32_t kUntouched = 0x42424242u;
constexpr DType kTypes[] = {DType::kF32, DType::kBF16};

// [rows, columns]: not multiples of four, of a block's 512 numbers, and real ones.
const std::pair<int64_t, int64_t> kSizes[] = {{1, 1},    {1, 3},   {3, 4},    {5, 127}, {2, 511},
                                              {3, 512},  {2, 516}, {300, 20}, {300, 9}, {1, 4096},
                                              {7, 1022}, {1, 515}, {4, 576},  {2, 1536}};

std::vector<float> Numbers(int64_t count, uint64_t seed, float scale = 1.0f) {
  return TestRandom(seed).Normals(static_cast<size_t>(count), scale);
}

// `count` numbers of a type from a function that writes them, with a float behind that must stay.
std::vector<uint32_t> Written(DType type, int64_t count, int64_t skip,
                              const std::function<void(std::byte*)>& write) {
  const size_t bytes = static_cast<size_t>(count) * DTypeBytes(type);
  std::vector<uint32_t> memory(static_cast<size_t>(skip) + (bytes + 3) / 4 + 1, kUntouched);
  write(reinterpret_cast<std::byte*>(memory.data() + skip));
  EXPECT_EQ(memory.back(), kUntouched);
  if (bytes % 4 != 0) {
    EXPECT_EQ(memory[memory.size() - 2] >> 16, kUntouched >> 16);
  }
  memory.erase(memory.begin(), memory.begin() + skip);
  return memory;
}

// Under three orders of threads, whose results must be the same bits.
std::vector<uint32_t> OnDevice(DType type, int64_t count, int64_t skip,
                               const std::function<Status(std::byte*)>& launch) {
  std::vector<uint32_t> first;
  for (uint64_t order = 0; order < 3; ++order) {
    cuda_on_cpu::SetOrderSeed(TestSeed() + order);
    const auto found = Written(type, count, skip, [&](std::byte* y) {
      const Status status = launch(y);
      EXPECT_TRUE(status) << status.error().message;
    });
    if (order == 0) first = found;
    EXPECT_EQ(found, first);
  }
  return first;
}

const float* Floats(const std::vector<uint32_t>& memory) {
  return reinterpret_cast<const float*>(memory.data());
}

// What `launch` writes as f32 is near what `reference` does, and as bf16 it is that, rounded.
void ExpectAgreement(int64_t count, const std::function<void(DType, std::byte*)>& reference,
                     const std::function<Status(DType, std::byte*)>& launch) {
  const auto expected =
      Written(DType::kF32, count, 0, [&](std::byte* y) { reference(DType::kF32, y); });
  for (const int64_t skip : {0, 1}) {  // aligned to 16 bytes, and not
    SCOPED_TRACE(skip);
    const auto found =
        OnDevice(DType::kF32, count, skip, [&](std::byte* y) { return launch(DType::kF32, y); });
    for (int64_t i = 0; i < count; ++i) {
      const float number = Floats(expected)[i];
      ASSERT_NEAR(Floats(found)[i], number, 2e-6f * (1 + std::abs(number))) << i;
    }
    const auto rounded =
        OnDevice(DType::kBF16, count, skip, [&](std::byte* y) { return launch(DType::kBF16, y); });
    EXPECT_EQ(rounded, Written(DType::kBF16, count, skip, [&](std::byte* y) {
                ConvertFromFloat(DType::kBF16, Floats(found), y, static_cast<size_t>(count));
              }));
  }
}

TEST(CudaTransformer, RmsNorm) {
  for (const auto& [rows, n] : kSizes) {
    SCOPED_TRACE(testing::Message() << rows << " rows of " << n);
    const auto x = Numbers(rows * n, 1, 3.0f), weight = Numbers(n, 2);
    for (const float epsilon : {1e-5f, 0.5f}) {
      ExpectAgreement(
          rows * n,
          [&, rows = rows, n = n](DType type, std::byte* y) {
            RmsNorm(x.data(), weight.data(), epsilon, rows, n, type, y);
          },
          [&, rows = rows, n = n](DType type, std::byte* y) {
            return cuda::RmsNorm(x.data(), weight.data(), epsilon, rows, n, type, y, nullptr);
          });
    }
  }
}

TEST(CudaTransformer, HeadsGetABiasAndNorms) {
  const HeadCounts counts[] = {{1, 1, 1}, {4, 2, 6}, {14, 2, 64}, {9, 3, 80}, {16, 8, 128}};
  for (const HeadCounts& heads : counts) {
    const int64_t width = int64_t{heads.total()} * heads.head_dim;
    const auto bias = Numbers(width, 12), query_norm = Numbers(heads.head_dim, 13),
               key_norm = Numbers(heads.head_dim, 14);
    for (const int64_t rows : {1, 5}) {
      const auto before = Numbers(rows * width, 15, 3.0f);
      for (int with = 0; with < 8; ++with) {
        SCOPED_TRACE(testing::Message() << heads.total() << " heads of " << heads.head_dim << ", "
                                        << rows << " rows, " << with);
        const HeadWeights weights = {(with & 1) != 0 ? bias.data() : nullptr,
                                     (with & 2) != 0 ? query_norm.data() : nullptr,
                                     (with & 4) != 0 ? key_norm.data() : nullptr, 0.1f};
        std::vector<float> expected = before;
        FinishHeads(weights, heads, rows, expected.data());
        const auto found = OnDevice(DType::kF32, rows * width, 0, [&](std::byte* to) {
          std::memcpy(to, before.data(), before.size() * sizeof(float));
          return cuda::FinishHeads(weights, heads, rows, reinterpret_cast<float*>(to), nullptr);
        });
        for (int64_t i = 0; i < rows * width; ++i) {
          const float number = expected[static_cast<size_t>(i)];
          ASSERT_NEAR(Floats(found)[i], number, 2e-6f * (1 + std::abs(number))) << i;
        }
      }
    }
  }
}

TEST(CudaTransformer, SwiGlu) {
  for (const auto& [rows, ffn] : kSizes) {
    SCOPED_TRACE(testing::Message() << rows << " rows of " << ffn);
    auto gate_up = Numbers(rows * 2 * ffn, 3, 4.0f);
    gate_up[0] = -200.0f;  // whose exp is too large
    if (ffn > 2) gate_up[1] = 200.0f;
    ExpectAgreement(
        rows * ffn,
        [&, rows = rows, ffn = ffn](DType type, std::byte* y) {
          SwiGlu(gate_up.data(), rows, ffn, type, y);
        },
        [&, rows = rows, ffn = ffn](DType type, std::byte* y) {
          return cuda::SwiGlu(gate_up.data(), rows, ffn, type, y, nullptr);
        });
  }
}

TEST(CudaTransformer, ConversionHasTheSameBits) {
  for (const int64_t count : {1, 3, 4, 511, 513, 4096, 5001}) {
    auto x = Numbers(count, 4);
    x[0] = kNan;
    if (count > 3) x[1] = -kInfinity, x[2] = 3.4e38f, x[3] = 1.00390625f;  // half way
    for (const DType type : kTypes) {
      for (const int64_t skip : {0, 1}) {
        const auto expected = Written(
            type, count, skip, [&](std::byte* y) { ConvertFloats(x.data(), count, type, y); });
        EXPECT_EQ(OnDevice(type, count, skip,
                           [&](std::byte* y) {
                             return cuda::ConvertFloats(x.data(), count, type, y, nullptr);
                           }),
                  expected)
            << count;
      }
    }
  }
}

TEST(CudaTransformer, AddRowsHasTheSameBitsAndCanBeStopped) {
  for (const int64_t count : {1, 3, 4, 511, 513, 4096, 5001}) {
    const auto x = Numbers(count, 5), y = Numbers(count + 1, 6);
    for (const int64_t skip : {0, 1}) {
      for (const int stopped : {-1, 0, 1, 7}) {
        SCOPED_TRACE(testing::Message() << count << ", " << skip << ", " << stopped);
        const std::vector<int32_t> flag = {stopped};
        const int32_t* at = stopped < 0 ? nullptr : flag.data();
        const auto copy_of_x = [&](std::byte* to) {
          std::memcpy(to, x.data(), static_cast<size_t>(count) * sizeof(float));
          return reinterpret_cast<float*>(to);
        };
        const auto expected = Written(DType::kF32, count, skip, [&](std::byte* to) {
          float* const sums = copy_of_x(to);
          if (stopped <= 0) {
            for (int64_t i = 0; i < count; ++i) sums[i] = x[i] + y[i + skip];
          }
        });
        EXPECT_EQ(
            Written(DType::kF32, count, skip,
                    [&](std::byte* to) { AddRows(copy_of_x(to), y.data() + skip, count, at); }),
            expected);
        EXPECT_EQ(OnDevice(DType::kF32, count, skip,
                           [&](std::byte* to) {
                             return cuda::AddRows(copy_of_x(to), y.data() + skip, count, at,
                                                  nullptr);
                           }),
                  expected);
      }
    }
  }
}

void ExpectGreedy(const std::vector<float>& logits, int64_t rows, int64_t skip = 0) {
  const int64_t vocab = (static_cast<int64_t>(logits.size()) - skip) / rows;
  std::vector<int32_t> expected(static_cast<size_t>(rows));
  Greedy(logits.data() + skip, rows, vocab, expected.data());
  for (uint64_t order = 0; order < 3; ++order) {
    cuda_on_cpu::SetOrderSeed(TestSeed() + order);
    std::vector<int32_t> found(static_cast<size_t>(rows) + 1, -7);
    ASSERT_TRUE(cuda::Greedy(logits.data() + skip, rows, vocab, found.data(), nullptr));
    EXPECT_EQ(found.back(), -7);
    found.pop_back();
    EXPECT_EQ(found, expected) << rows << " rows of " << vocab;
  }
}

TEST(CudaGreedy, TakesTheLargest) {
  const std::pair<int64_t, int64_t> sizes[] = {{1, 49152}, {300, 7},  {1, 1},    {3, 4},
                                               {2, 2047},  {5, 2048}, {2, 2052}, {3, 130}};
  for (const auto& [rows, vocab] : sizes) {
    ExpectGreedy(Numbers(rows * vocab, 7), rows);
    ExpectGreedy(Numbers(rows * vocab + 1, 8), rows, 1);
  }
}

// Each place of some rows in turn, so that every thread, lane and warp has it once.
TEST(CudaGreedy, WhereverItLies) {
  for (const int64_t vocab : {515, 516}) {
    std::vector<float> logits(static_cast<size_t>(vocab * vocab), -1.0f);
    for (int64_t row = 0; row < vocab; ++row) {
      logits[static_cast<size_t>(row * vocab + row)] = 0.0f;
    }
    ExpectGreedy(logits, vocab);
  }
}

TEST(CudaGreedy, OfEqualOnesTheLowestId) {
  for (const int64_t vocab : {7, 516, 2049, 4100}) {
    std::vector<float> logits = Numbers(20 * vocab, 9);
    for (float& logit : logits) logit = std::round(logit);  // −0 too
    ExpectGreedy(logits, 20);
    std::vector<float> zeros(static_cast<size_t>(vocab), -0.0f);
    zeros.back() = 0.0f;
    ExpectGreedy(zeros, 1);
    ExpectGreedy(std::vector<float>(static_cast<size_t>(vocab), -kInfinity), 1);
  }
}

TEST(CudaGreedy, NanIsNotChosenUnlessItIsTheFirst) {
  for (const int64_t vocab : {7, 516, 2049}) {
    std::vector<float> logits = Numbers(30 * vocab, 10);
    TestRandom random(11);
    for (float& logit : logits) {
      if (random.Int(0, 2) == 0) logit = random.Int(0, 1) == 0 ? kNan : -kNan;
    }
    ExpectGreedy(logits, 30);
    std::vector<float> row(static_cast<size_t>(vocab), kNan);
    ExpectGreedy(row, 1);
    row[0] = -kInfinity;
    ExpectGreedy(row, 1);
    row.back() = 1.0f;
    ExpectGreedy(row, 1);
  }
}

TEST(CudaTransformer, OfNothingNothingIsDone) {
  EXPECT_TRUE(cuda::RmsNorm(nullptr, nullptr, 1, 0, 8, DType::kF32, nullptr, nullptr));
  EXPECT_TRUE(cuda::FinishHeads({}, {2, 1, 4}, 3, nullptr, nullptr));
  EXPECT_TRUE(cuda::AddRows(nullptr, nullptr, 0, nullptr, nullptr));
  EXPECT_TRUE(cuda::SwiGlu(nullptr, 0, 8, DType::kF32, nullptr, nullptr));
  EXPECT_TRUE(cuda::ConvertFloats(nullptr, 0, DType::kF32, nullptr, nullptr));
  EXPECT_TRUE(cuda::Greedy(nullptr, 0, 8, nullptr, nullptr));
}

}  // namespace
}  // namespace cairn
