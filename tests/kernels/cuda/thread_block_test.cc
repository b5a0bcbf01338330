// What tests of CUDA kernels on a CPU rest on: that threads run as CUDA says, and that what CUDA
// forbids is found.
#include "tests/support/cuda_on_cpu/thread_block.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "tests/support/cuda_on_cpu/cuda_runtime.h"
#include "tests/support/cuda_on_cpu/races.h"

namespace cairn {
namespace {

constexpr uint32_t kAll = 0xffffffffu;
constexpr int kSeeds = 20;

template <class... Parameters, class... Arguments>
cudaError_t Launch(dim3 grid, dim3 block, size_t shared, void (*kernel)(Parameters...),
                   Arguments... arguments) {
  cudaLaunchConfig_t config;
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

std::string Why(cudaError_t error) { return cudaGetErrorString(error); }

__global__ void CountPlaces(int* counts) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  ++counts[block * blockDim.x * blockDim.y * blockDim.z + thread];
}

TEST(ThreadBlock, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> counts(2 * 3 * 2 * 5 * 2 * 3);
  ASSERT_EQ(Launch({2, 3, 2}, {5, 2, 3}, 0, CountPlaces, counts.data()), cudaSuccess);
  EXPECT_EQ(counts, std::vector<int>(counts.size(), 1));
}

enum class Barriers { kBoth, kNoFirst, kNoSecond };

// Shifts numbers along a ring in shared memory, some rounds of it. The first barrier lets all
// write before one reads, the second lets all read before one writes again.
__global__ void Ring(Barriers barriers, int rounds, int* out) {
  auto* ring = reinterpret_cast<int*>(cuda_on_cpu::DynamicShared());
  int mine = static_cast<int>(threadIdx.x);
  for (int i = 0; i < rounds; ++i) {
    ring[threadIdx.x] = mine;
    if (barriers != Barriers::kNoFirst) __syncthreads();
    mine = ring[(threadIdx.x + 1) % blockDim.x];
    if (barriers != Barriers::kNoSecond) __syncthreads();
  }
  out[threadIdx.x] = mine;
}

// Under how many seeds the ring is wrong.
int WrongRings(Barriers barriers) {
  constexpr int kThreads = 48, kRounds = 5;
  int wrong = 0;
  for (int seed = 0; seed < kSeeds; ++seed) {
    cuda_on_cpu::SetOrderSeed(static_cast<uint64_t>(seed));
    std::vector<int> out(kThreads);
    EXPECT_EQ(Launch({1}, {kThreads}, kThreads * sizeof(int), Ring, barriers, kRounds, out.data()),
              cudaSuccess);
    bool right = true;
    for (int i = 0; i < kThreads; ++i) {
      right = right && out[static_cast<size_t>(i)] == (i + kRounds) % kThreads;
    }
    wrong += !right;
  }
  return wrong;
}

TEST(ThreadBlock, BarriersOrderWhatThreadsShare) { EXPECT_EQ(WrongRings(Barriers::kBoth), 0); }
TEST(ThreadBlock, AMissingBarrierBeforeReadingIsFound) {
  const cuda_on_cpu::ExpectedRaces races;
  EXPECT_EQ(WrongRings(Barriers::kNoFirst), kSeeds);
}
TEST(ThreadBlock, AMissingBarrierBeforeWritingAgainIsFound) {
  const cuda_on_cpu::ExpectedRaces races;
  EXPECT_EQ(WrongRings(Barriers::kNoSecond), kSeeds);
}

// The largest number of a block, some rounds of it: lane 0 of each warp offers its warp's.
__global__ void LargestOfAll(bool wait, int rounds, int* out) {
  auto* offers = reinterpret_cast<int*>(cuda_on_cpu::DynamicShared());
  for (int i = 0; i < rounds; ++i) {
    int largest = static_cast<int>(threadIdx.x * 7 + static_cast<unsigned>(i) * 31) % 128;
    for (int apart = 16; apart > 0; apart /= 2) {
      const int other = __shfl_xor_sync(kAll, largest, apart);
      largest = other > largest ? other : largest;
    }
    if (threadIdx.x % 32 == 0) offers[threadIdx.x / 32] = largest + i;
    __syncthreads();
    for (int w = 0; w < 4; ++w) largest = offers[w] > largest ? offers[w] : largest;
    if (wait) __syncthreads();
    out[static_cast<int>(threadIdx.x) * rounds + i] = largest;
  }
}

// Only a warp that is far ahead, shuffles and all, overwrites what another has yet to read.
TEST(ThreadBlock, AWarpThatRunsAheadIsFound) {
  const cuda_on_cpu::ExpectedRaces races;
  for (const bool wait : {true, false}) {
    int wrong = 0;
    for (int seed = 0; seed < kSeeds; ++seed) {
      cuda_on_cpu::SetOrderSeed(static_cast<uint64_t>(seed));
      constexpr int kRounds = 6;
      std::vector<int> out(128 * kRounds);
      ASSERT_EQ(Launch({1}, {128}, 16, LargestOfAll, wait, kRounds, out.data()), cudaSuccess);
      bool right = true;
      for (int i = 0; i < 128 * kRounds; ++i) {
        right = right && out[static_cast<size_t>(i)] == 127 + i % kRounds;
      }
      wrong += !right;
    }
    EXPECT_EQ(wrong > kSeeds / 2, !wait) << wrong;
    EXPECT_EQ(wrong == 0, wait) << wrong;
  }
}

__global__ void PassInWarp(bool wait, int* out) {
  auto* shared = reinterpret_cast<int*>(cuda_on_cpu::DynamicShared());
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (wait) __syncwarp();
  out[threadIdx.x] = shared[threadIdx.x ^ 1];
}

TEST(ThreadBlock, AMissingWarpBarrierIsFound) {
  const cuda_on_cpu::ExpectedRaces races;
  for (const bool wait : {true, false}) {
    cuda_on_cpu::SetOrderSeed(3);
    std::vector<int> out(64);
    ASSERT_EQ(Launch({1}, {64}, 64 * sizeof(int), PassInWarp, wait, out.data()), cudaSuccess);
    int wrong = 0;
    for (int i = 0; i < 64; ++i) wrong += out[static_cast<size_t>(i)] != (i ^ 1);
    EXPECT_EQ(wrong > 0, !wait);
  }
}

__global__ void Shuffles(int* out) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int value = static_cast<int>(threadIdx.x) * 10;
  int* to = out + threadIdx.x * 6;
  to[0] = __shfl_xor_sync(kAll, value, 5);
  to[1] = __shfl_down_sync(kAll, value, 3);
  to[2] = __shfl_up_sync(kAll, value, 3);
  to[3] = __shfl_sync(kAll, value, 7);
  to[4] = __shfl_down_sync(kAll, value, 3, 8);
  to[5] = -1;
  if (lane < 8) to[5] = __shfl_xor_sync(0xffu, value, 1);
}

TEST(ThreadBlock, ShufflesBringTheValueOfTheLaneNamed) {
  std::vector<int> out(64 * 6);
  ASSERT_EQ(Launch({1}, {64}, 0, Shuffles, out.data()), cudaSuccess);
  for (int i = 0; i < 64; ++i) {
    const int warp = i / 32 * 32, lane = i % 32;
    const int* got = out.data() + i * 6;
    EXPECT_EQ(got[0], 10 * (warp + (lane ^ 5)));
    EXPECT_EQ(got[1], 10 * (warp + (lane + 3 < 32 ? lane + 3 : lane)));
    EXPECT_EQ(got[2], 10 * (warp + (lane >= 3 ? lane - 3 : lane)));
    EXPECT_EQ(got[3], 10 * (warp + 7));
    EXPECT_EQ(got[4], 10 * (warp + (lane % 8 + 3 < 8 ? lane + 3 : lane)));
    EXPECT_EQ(got[5], lane < 8 ? 10 * (warp + (lane ^ 1)) : -1);
  }
}

__global__ void Votes(uint32_t* out) {
  const int lane = static_cast<int>(threadIdx.x);
  uint32_t* to = out + lane * 4;
  to[0] = __ballot_sync(kAll, lane % 3 == 0);
  to[1] = static_cast<uint32_t>(__any_sync(kAll, lane == 31));
  to[2] = static_cast<uint32_t>(__all_sync(kAll, lane < 31));
  to[3] = static_cast<uint32_t>(__all_sync(kAll, lane < 32));
}

TEST(ThreadBlock, VotesCountEveryLane) {
  std::vector<uint32_t> out(32 * 4);
  ASSERT_EQ(Launch({1}, {32}, 0, Votes, out.data()), cudaSuccess);
  uint32_t thirds = 0;
  for (int lane = 0; lane < 32; lane += 3) thirds |= 1u << lane;
  for (size_t lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(out[lane * 4], thirds);
    EXPECT_EQ(out[lane * 4 + 1], 1u);
    EXPECT_EQ(out[lane * 4 + 2], 0u);
    EXPECT_EQ(out[lane * 4 + 3], 1u);
  }
}

__global__ void AddUp(unsigned* sum, int* largest, int* places) {
  const unsigned number = blockIdx.x * blockDim.x + threadIdx.x;
  places[atomicAdd(sum, 1u)] = static_cast<int>(number);
  atomicMax(largest, static_cast<int>(number));
}

TEST(ThreadBlock, AtomicsLoseNothing) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    cuda_on_cpu::SetOrderSeed(seed);
    unsigned sum = 0;
    int largest = -1;
    std::vector<int> places(120, -1);
    ASSERT_EQ(Launch({3}, {40}, 0, AddUp, &sum, &largest, places.data()), cudaSuccess);
    EXPECT_EQ(sum, 120u);
    EXPECT_EQ(largest, 119);
    EXPECT_EQ(std::set<int>(places.begin(), places.end()).size(), 120u);
  }
}

__global__ void Meet(bool divergent, int* out) {
  if (divergent && threadIdx.x >= 5) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}

TEST(ThreadBlock, ThreadsThatMeetAtDifferentBarriersAreAnError) {
  std::vector<int> out(40);
  const cudaError_t error = Launch({1}, {40}, 0, Meet, true, out.data());
  EXPECT_EQ(error, cudaErrorLaunchFailure);
  EXPECT_NE(Why(error).find("meet at the barriers of"), std::string::npos) << Why(error);
  EXPECT_NE(Why(error).find("thread_block_test.cc"), std::string::npos) << Why(error);
  EXPECT_EQ(out, std::vector<int>(40, 0));
  EXPECT_EQ(Launch({1}, {40}, 0, Meet, false, out.data()), cudaSuccess);
  EXPECT_EQ(out, std::vector<int>(40, 1));
}

__global__ void WaitOrNot(bool wait, int* out) {
  if (wait) cuda_on_cpu::WaitForLaunchBefore();
  out[threadIdx.x] = 1;
}

TEST(ThreadBlock, AThreadOfALaunchThatOverlapsMustWait) {
  cudaLaunchAttribute overlap = {};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config;
  config.blockDim = {40};
  std::vector<int> out(40);
  EXPECT_EQ(cudaLaunchKernelEx(&config, WaitOrNot, false, out.data()), cudaSuccess);
  config.attrs = &overlap;
  config.numAttrs = 1;
  EXPECT_EQ(cudaLaunchKernelEx(&config, WaitOrNot, true, out.data()), cudaSuccess);
  const cudaError_t error = cudaLaunchKernelEx(&config, WaitOrNot, false, out.data());
  EXPECT_EQ(error, cudaErrorLaunchFailure);
  EXPECT_NE(Why(error).find("did not wait for the launch before"), std::string::npos) << Why(error);
}

__global__ void LeaveEarly() {
  if (threadIdx.x < 3) return;
  __syncthreads();
}

TEST(ThreadBlock, ABarrierThatSomeNeverReachIsAnErrorAndNoHang) {
  const cudaError_t error = Launch({2}, {40}, 0, LeaveEarly);
  EXPECT_EQ(error, cudaErrorLaunchFailure);
  EXPECT_NE(Why(error).find(" 3 have ended; 37 wait at the barrier of"), std::string::npos)
      << Why(error);
}

enum class Mistake { kLaneIsAbsent, kNotInMask, kFromOutside, kOtherMask };

__global__ void WarpMistake(Mistake mistake) {
  const int lane = static_cast<int>(threadIdx.x);
  if (mistake == Mistake::kLaneIsAbsent && lane < 31) __syncwarp();
  if (mistake == Mistake::kNotInMask) __syncwarp(0xfffffff0u);
  if (mistake == Mistake::kFromOutside && lane < 8) __shfl_sync(0xffu, lane, 9);
  if (mistake == Mistake::kOtherMask) __syncwarp(lane < 16 ? kAll : 0xffff0000u);
}

TEST(ThreadBlock, WrongWaitsInsideAWarpAreErrors) {
  const std::pair<Mistake, std::string> cases[] = {
      {Mistake::kLaneIsAbsent, "1 have ended; 31 wait for lanes 0xffffffff"},
      {Mistake::kNotInMask, "is not in the mask 0xfffffff0"},
      {Mistake::kFromOutside, "asks for the value of lane 9, which is not in 0xff"},
      {Mistake::kOtherMask, "16 wait for lanes 0xffffffff"}};
  for (const auto& [mistake, text] : cases) {
    const cudaError_t error = Launch({1}, {32}, 0, WarpMistake, mistake);
    EXPECT_EQ(error, cudaErrorLaunchFailure);
    EXPECT_NE(Why(error).find(text), std::string::npos) << Why(error);
  }
}

__global__ void ReadUnwritten(uint32_t* out) {
  __shared__ uint32_t fixed[4];
  auto* dynamic = reinterpret_cast<uint32_t*>(cuda_on_cpu::DynamicShared());
  out[blockIdx.x * 2] = fixed[1];
  out[blockIdx.x * 2 + 1] = dynamic[1];
  fixed[1] = dynamic[1] = 7;
}

TEST(ThreadBlock, SharedMemoryBeginsWithoutMeaningInEveryBlock) {
  std::vector<uint32_t> out(8);
  ASSERT_EQ(Launch({4}, {1}, 16, ReadUnwritten, out.data()), cudaSuccess);
  EXPECT_EQ(out, std::vector<uint32_t>(8, 0xffffffffu));
}

__global__ void NoteOrder(unsigned* next, int* order) {
  order[(*next)++] = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

std::vector<int> OrderUnder(uint64_t seed) {
  const cuda_on_cpu::ExpectedRaces races;
  cuda_on_cpu::SetOrderSeed(seed);
  unsigned next = 0;
  std::vector<int> order(60, -1);
  EXPECT_EQ(Launch({6}, {10}, 0, NoteOrder, &next, order.data()), cudaSuccess);
  return order;
}

TEST(ThreadBlock, TheSeedDecidesTheOrder) {
  EXPECT_EQ(OrderUnder(5), OrderUnder(5));
  EXPECT_NE(OrderUnder(5), OrderUnder(6));
  std::set<int> first_blocks, first_threads;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const std::vector<int> order = OrderUnder(seed);
    EXPECT_EQ(std::set<int>(order.begin(), order.end()).size(), 60u);
    first_blocks.insert(order[0] / 10);
    first_threads.insert(order[0] % 10);
  }
  EXPECT_EQ(first_blocks.size(), 6u);
  EXPECT_GE(first_threads.size(), 8u);
}

__global__ void UseStack(int depth, volatile char* out) {
  volatile char here[1024];
  here[0] = 1;
  if (depth > 0) UseStack(depth - 1, here);
  *out = here[0];
}

TEST(ThreadBlock, WhatADeviceWouldRefuseIsRefused) {
  const cuda_on_cpu::ExpectedRaces races;
  char out = 0;
  const auto launch = [&](dim3 grid, dim3 block, size_t shared) {
    return Launch(grid, block, shared, UseStack, 2, static_cast<volatile char*>(&out));
  };
  EXPECT_EQ(launch({1}, {1024}, 48 << 10), cudaSuccess);
  EXPECT_EQ(launch({1}, {1025}, 0), cudaErrorInvalidValue);
  EXPECT_EQ(launch({0}, {1}, 0), cudaErrorInvalidValue);
  EXPECT_EQ(launch({1, 1, 65536}, {1}, 0), cudaErrorInvalidValue);
  EXPECT_EQ(launch({1}, {1}, (48 << 10) + 4), cudaErrorInvalidValue);
  constexpr auto kAttribute = cudaFuncAttributeMaxDynamicSharedMemorySize;
  EXPECT_EQ(cudaFuncSetAttribute(UseStack, kAttribute, 164 << 10), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(UseStack, kAttribute, 64 << 10), cudaSuccess);
  EXPECT_EQ(launch({1}, {1}, 64 << 10), cudaSuccess);
}

}  // namespace
}  // namespace cairn
