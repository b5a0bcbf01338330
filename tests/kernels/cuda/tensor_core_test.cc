// What tensor cores and asynchronous copies are to kernels, and that their stand-ins find what is
// wrong: numbers in other places, copies that nobody waited for, bytes that are still needed.
#include "kernels/cuda/tensor_core.cuh"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "kernels/cuda/async_copy.cuh"
#include "tests/support/cuda_on_cpu/races.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

using cuda::Element;

constexpr int kStride = 24;  // numbers between rows: aligned to 16 bytes
constexpr int kSeeds = 20;

template <class... Parameters, class... Arguments>
cudaError_t Launch(unsigned threads, size_t shared, void (*kernel)(Parameters...),
                   Arguments... arguments) {
  cudaLaunchConfig_t config;
  config.blockDim = {threads};
  config.dynamicSmemBytes = shared;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

std::string Why(cudaError_t error) { return cudaGetErrorString(error); }

uint16_t* SharedNumbers() { return reinterpret_cast<uint16_t*>(cuda_on_cpu::DynamicShared()); }

// out [16, 16] = 1 + a · b of matrices [16, 16]; `transposed`: b's rows are the columns of it.
template <Element kElement>
__global__ void Multiply(const uint16_t* a, const uint16_t* b, bool transposed, float* out) {
  uint16_t* tiles = SharedNumbers();
  for (int i = static_cast<int>(threadIdx.x); i < 256; i += 32) {
    tiles[i / 16 * kStride + i % 16] = a[i];
    tiles[(16 + i / 16) * kStride + i % 16] = b[i];
  }
  __syncthreads();
  uint32_t of_a[4], of_b[4];
  cuda::LoadRows(tiles, kStride, of_a);
  if (transposed) {
    cuda::LoadRowsAsColumns(tiles + 16 * kStride, kStride, of_b);
  } else {
    cuda::LoadColumns(tiles + 16 * kStride, kStride, of_b);
  }
  for (int n = 0; n < 2; ++n) {
    float sums[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    cuda::MultiplyAdd<kElement>(sums, of_a, of_b + 2 * n);
    for (int i = 0; i < 4; ++i) {
      const int row = cuda::LaneRow() + i / 2 * 8;
      out[row * 16 + n * 8 + cuda::LaneColumn() + i % 2] = sums[i];
    }
  }
}

template <Element kElement>
void ExpectProducts(DType type, bool transposed) {
  TestRandom random(3);
  const std::vector<float> a = random.Normals(256), b = random.Normals(256);
  std::vector<uint16_t> a16(256), b16(256);
  ConvertFromFloat(type, a.data(), a16.data(), 256);
  ConvertFromFloat(type, b.data(), b16.data(), 256);
  std::vector<float> x(256), y(256), out(256);
  ConvertToFloat(type, a16.data(), x.data(), 256);
  ConvertToFloat(type, b16.data(), y.data(), 256);
  ASSERT_EQ(Launch(32, 32 * kStride * 2, Multiply<kElement>, a16.data(), b16.data(), transposed,
                   out.data()),
            cudaSuccess);
  for (size_t i = 0; i < 16; ++i) {
    for (size_t j = 0; j < 16; ++j) {
      double sum = 1;
      for (size_t k = 0; k < 16; ++k) {
        sum += double{x[i * 16 + k]} * y[transposed ? j * 16 + k : k * 16 + j];
      }
      ASSERT_NEAR(out[i * 16 + j], sum, 1e-5) << i << " " << j;
    }
  }
}

TEST(TensorCore, MatricesFromSharedMemoryGiveTheirProduct) {
  for (const bool transposed : {false, true}) {
    ExpectProducts<Element::kF16>(DType::kF16, transposed);
    ExpectProducts<Element::kBF16>(DType::kBF16, transposed);
  }
}

TEST(TensorCore, TermsAddUpToTheNumber) {
  for (const float x : TestRandom(4).Normals(1000)) {
    float half[2] = {x, -x};
    const uint32_t first = cuda::TakeTerms<Element::kF16>(half);
    EXPECT_EQ(static_cast<uint16_t>(first), FloatToHalf(x));
    EXPECT_EQ(first >> 16, FloatToHalf(-x));
    EXPECT_EQ(half[0], x - HalfToFloat(FloatToHalf(x)));
    cuda::TakeTerms<Element::kF16>(half);
    EXPECT_LE(std::fabs(half[0]), std::fmax(std::ldexp(std::fabs(x), -21), 0x1p-25f));
    EXPECT_EQ(half[1], -half[0]);
    float bf16 = x;
    float sum = 0.0f;
    for (int term = 0; term < 3; ++term) sum += Bf16ToFloat(cuda::TakeTerm<Element::kBF16>(&bf16));
    EXPECT_EQ(bf16, 0.0f);
    EXPECT_EQ(sum, x);
  }
}

TEST(TensorCore, CodesAreHalves) {
  for (int code = -127; code <= 127; ++code) {
    const auto byte = static_cast<uint8_t>(code);
    for (int at = 0; at < 4; ++at) {
      uint32_t pairs[2];
      cuda::CodesToHalves(uint32_t{byte} << at * 8, pairs, pairs + 1);
      for (int i = 0; i < 4; ++i) {
        const auto half = static_cast<uint16_t>(pairs[i / 2] >> i % 2 * 16);
        EXPECT_EQ(HalfToFloat(half), i == at ? static_cast<float>(code) : 0.0f);
      }
    }
  }
}

enum class Mistake { kNone, kLaneIsAbsent, kNotAligned, kNotShared };

__global__ void LoadWrong(Mistake mistake, const uint16_t* other) {
  uint32_t parts[4];
  if (mistake == Mistake::kLaneIsAbsent && threadIdx.x == 5) return;
  const uint16_t* row = mistake == Mistake::kNotShared ? other : SharedNumbers();
  cuda::LoadMatrices<false>(row + (mistake == Mistake::kNotAligned ? 4 : 0), parts);
}

TEST(TensorCore, WrongLoadsAreErrors) {
  const std::pair<Mistake, std::string> cases[] = {
      {Mistake::kLaneIsAbsent, "1 have ended; 31 wait for lanes 0xffffffff"},
      {Mistake::kNotAligned, "are not aligned in shared memory"},
      {Mistake::kNotShared, "are not aligned in shared memory"}};
  const std::vector<uint16_t> other(64);
  EXPECT_EQ(Launch(32, 512, LoadWrong, Mistake::kNone, other.data()), cudaSuccess);
  for (const auto& [mistake, text] : cases) {
    const cudaError_t error = Launch(32, 512, LoadWrong, mistake, other.data());
    EXPECT_EQ(error, cudaErrorLaunchFailure);
    EXPECT_NE(Why(error).find(text), std::string::npos) << Why(error);
  }
}

enum class Left { kNothing, kWait, kBarrier, kOldGroup };

// Every thread copies four numbers, the last of them as zero, and reads its neighbour's.
__global__ void CopyRing(Left left, const float* from, float* out) {
  auto* ring = reinterpret_cast<float*>(cuda_on_cpu::DynamicShared());
  const unsigned i = threadIdx.x;
  const unsigned other = (i + 1) % blockDim.x;
  for (unsigned round = 0; round < 2; ++round) {
    cuda::CopyToShared(ring + i * 4, from + (round * blockDim.x + i) * 4, 12);
    cuda::CommitCopies();
    if (left == Left::kOldGroup) {
      cuda::WaitForCopies<1>();
    } else if (left != Left::kWait) {
      cuda::WaitForCopies<0>();
    }
    if (left != Left::kBarrier) __syncthreads();
    for (unsigned c = 0; c < 4; ++c) out[i * 4 + c] = ring[other * 4 + c];
    __syncthreads();
  }
  cuda::WaitForCopies<0>();
}

// Under how many seeds the ring is wrong.
int WrongRings(Left left) {
  constexpr unsigned kThreads = 48;
  alignas(16) float from[2 * kThreads * 4];
  int wrong = 0;
  for (int seed = 0; seed < kSeeds; ++seed) {
    cuda_on_cpu::SetOrderSeed(static_cast<uint64_t>(seed));
    for (unsigned i = 0; i < 2 * kThreads * 4; ++i) from[i] = static_cast<float>(i + 1);
    std::vector<float> out(kThreads * 4);
    EXPECT_EQ(Launch(kThreads, sizeof(from) / 2, CopyRing, left, static_cast<const float*>(from),
                     out.data()),
              cudaSuccess);
    bool right = true;
    for (unsigned i = 0; i < kThreads * 4; ++i) {
      const unsigned number = (i + 4) % (kThreads * 4);
      right = right && out[i] == (i % 4 == 3 ? 0.0f : from[kThreads * 4 + number]);
    }
    wrong += right ? 0 : 1;
  }
  return wrong;
}

TEST(AsyncCopies, WhatIsNotWaitedForIsNotThere) {
  const cuda_on_cpu::ExpectedRaces races;
  EXPECT_EQ(WrongRings(Left::kNothing), 0);
  EXPECT_EQ(WrongRings(Left::kWait), kSeeds);
  EXPECT_EQ(WrongRings(Left::kOldGroup), kSeeds);
  EXPECT_EQ(WrongRings(Left::kBarrier), kSeeds);
}

__global__ void TwoGroups(const float* from, float* out) {
  auto* ring = reinterpret_cast<float*>(cuda_on_cpu::DynamicShared());
  for (int group = 0; group < 2; ++group) {
    cuda::CopyToShared(ring + group * 4, from + group * 4, 16);
    cuda::CommitCopies();
  }
  cuda::WaitForCopies<1>();
  for (int i = 0; i < 8; ++i) out[i] = ring[i];
  cuda::WaitForCopies<0>();
  for (int i = 0; i < 8; ++i) out[8 + i] = ring[i];
  cuda::CopyToShared(ring, from, 0);  // of what is still needed
  out[16] = ring[0];
  cuda::CommitCopies();
  cuda::WaitForCopies<0>();
  out[17] = ring[0];
}

TEST(AsyncCopies, GroupsComeInOrderAndTakeTheirPlaceAtOnce) {
  alignas(16) const float from[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<float> out(18);
  ASSERT_EQ(Launch(1, 32, TwoGroups, static_cast<const float*>(from), out.data()), cudaSuccess);
  EXPECT_TRUE(std::equal(from, from + 4, out.begin()));
  for (size_t i = 4; i < 8; ++i) EXPECT_TRUE(std::isnan(out[i]));
  EXPECT_TRUE(std::equal(from, from + 8, out.begin() + 8));
  EXPECT_TRUE(std::isnan(out[16]));
  EXPECT_EQ(out[17], 0.0f);
}

enum class Wrong { kNobodyWaits, kNotCommitted, kSource, kTarget };

__global__ void CopyWrong(Wrong wrong, const std::byte* from) {
  cuda::CopyToShared(cuda_on_cpu::DynamicShared() + (wrong == Wrong::kTarget ? 8 : 0),
                     from + (wrong == Wrong::kSource ? 4 : 0), 16);
  if (wrong != Wrong::kNotCommitted) cuda::CommitCopies();
  if (wrong != Wrong::kNobodyWaits) cuda::WaitForCopies<0>();
}

TEST(AsyncCopies, WrongOnesAreErrors) {
  const std::pair<Wrong, std::string> cases[] = {
      {Wrong::kNobodyWaits, "has ended with copies under way"},
      {Wrong::kNotCommitted, "has ended with copies under way"},
      {Wrong::kSource, "reads where nothing is aligned to 16"},
      {Wrong::kTarget, "are not aligned in shared memory"}};
  alignas(16) const std::byte from[32] = {};
  for (const auto& [wrong, text] : cases) {
    const cudaError_t error = Launch(1, 32, CopyWrong, wrong, static_cast<const std::byte*>(from));
    EXPECT_EQ(error, cudaErrorLaunchFailure);
    EXPECT_NE(Why(error).find(text), std::string::npos) << Why(error);
  }
}

}  // namespace
}  // namespace cairn
