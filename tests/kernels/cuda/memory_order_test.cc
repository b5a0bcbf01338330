// That the sanitizer of threads sees which accesses of a kernel's threads nothing orders, and none
// else. Only in builds with it. Races of the same two places are reported once, so each case is a
// kernel of its own.
#include "tests/support/cuda_on_cpu/memory_order.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/device.cuh"
#include "tests/support/cuda_on_cpu/cuda_runtime.h"
#include "tests/support/cuda_on_cpu/races.h"

namespace cairn {
namespace {

constexpr unsigned kThreads = 64;

template <class... Parameters>
bool IsSeen(void (*kernel)(Parameters...), unsigned blocks, Parameters... arguments) {
  cudaLaunchConfig_t config;
  config.gridDim = {blocks};
  config.blockDim = {kThreads};
  config.dynamicSmemBytes = 4096;
  const cuda_on_cpu::ExpectedRaces races;
  EXPECT_EQ(cudaLaunchKernelEx(&config, kernel, arguments...), cudaSuccess);
  return races.Seen() > 0;
}

int* SharedInts() { return reinterpret_cast<int*>(cuda_on_cpu::DynamicShared()); }

// Each thread reads what another has written: one of its warp, or, the last two, of the other.
enum class Between {
  kNothing,
  kShuffle,
  kVote,
  kProduct,
  kHalves,
  kWarpBarrier,
  kTwoWarpBarriers,
  kBlockBarrier
};

template <Between kBetween>
__global__ void PassOn(int* out) {
  int* shared = SharedInts();
  const unsigned own = threadIdx.x;
  shared[own] = static_cast<int>(own);
  if constexpr (kBetween == Between::kShuffle) __shfl_xor_sync(~0u, 1, 16);
  if constexpr (kBetween == Between::kVote) __any_sync(~0u, 1);
  if constexpr (kBetween == Between::kProduct) {
    float sums[4] = {};
    const uint32_t words[4] = {};
    cuda_on_cpu::MultiplyHalves(sums, words, words);
  }
  if constexpr (kBetween == Between::kHalves) __syncwarp(own % 32 < 16 ? 0xffffu : 0xffff0000u);
  if constexpr (kBetween == Between::kWarpBarrier) __syncwarp();
  if constexpr (kBetween == Between::kTwoWarpBarriers) __syncwarp(), __syncwarp();
  if constexpr (kBetween == Between::kBlockBarrier) __syncthreads();
  const unsigned other = kBetween >= Between::kTwoWarpBarriers ? own ^ 32 : own ^ 16;
  out[own] = shared[other];
}

TEST(MemoryOrder, OnlyBarriersOrderTheMemoryOfAWarp) {
  std::vector<int> out(kThreads);
  EXPECT_TRUE(IsSeen(PassOn<Between::kNothing>, 1, out.data()));
  EXPECT_TRUE(IsSeen(PassOn<Between::kShuffle>, 1, out.data()));
  EXPECT_TRUE(IsSeen(PassOn<Between::kVote>, 1, out.data()));
  EXPECT_TRUE(IsSeen(PassOn<Between::kProduct>, 1, out.data()));
  EXPECT_TRUE(IsSeen(PassOn<Between::kHalves>, 1, out.data()));
  EXPECT_FALSE(IsSeen(PassOn<Between::kWarpBarrier>, 1, out.data()));
  EXPECT_TRUE(IsSeen(PassOn<Between::kTwoWarpBarriers>, 1, out.data()));
  EXPECT_FALSE(IsSeen(PassOn<Between::kBlockBarrier>, 1, out.data()));
}

// Twice, so that what has gone on is not taken for what is still there.
template <bool kSecond>
__global__ void PassTwice(int* out) {
  int* shared = SharedInts();
  const unsigned own = threadIdx.x;
  for (int round = 0; round < 2; ++round) {
    shared[own] = static_cast<int>(own) + round;
    __syncthreads();
    out[own] = shared[(own + 1) % kThreads];
    if (kSecond) __syncthreads();
  }
}

TEST(MemoryOrder, ABarrierOrdersNothingBehindIt) {
  std::vector<int> out(kThreads);
  EXPECT_TRUE(IsSeen(PassTwice<false>, 1, out.data()));
  EXPECT_FALSE(IsSeen(PassTwice<true>, 1, out.data()));
}

__global__ void ChangeOne(int* out) { out[0] = 1; }
__global__ void ChangeOwn(int* out) { out[blockIdx.x * kThreads + threadIdx.x] = 1; }
__global__ void ChangeTogether(int* out) { atomicAdd(out, 1); }

TEST(MemoryOrder, ThreadsThatWriteTheSamePlaceAreSeen) {
  std::vector<int> out(2 * kThreads);
  EXPECT_TRUE(IsSeen(ChangeOne, 1, out.data()));
  EXPECT_FALSE(IsSeen(ChangeOwn, 2, out.data()));
  EXPECT_FALSE(IsSeen(ChangeTogether, 2, out.data()));
}

template <int kCase>
__global__ void ChangeAcross(int* out) {
  if (threadIdx.x == 0) out[0] = static_cast<int>(blockIdx.x);
}
__global__ void StaticShared(int* out) {
  __shared__ int shared;
  if (threadIdx.x == 0) shared = 1;
  __syncthreads();
  out[blockIdx.x * kThreads + threadIdx.x] = shared;
}

TEST(MemoryOrder, NothingOrdersBlocksAndSharedMemoryIsTheirOwn) {
  std::vector<int> out(2 * kThreads);
  EXPECT_TRUE(IsSeen(ChangeAcross<0>, 2, out.data()));
  EXPECT_FALSE(IsSeen(StaticShared, 2, out.data()));
  // One launch is behind another, on both sides of the host.
  EXPECT_FALSE(IsSeen(ChangeAcross<1>, 1, out.data()));
  EXPECT_FALSE(IsSeen(ChangeAcross<2>, 1, out.data()));
  out[0] = 3;
}

enum class Fences { kBoth, kNoFirst, kNoSecond, kBeforeBarrier, kBehindBarrier, kTooEarly };

// The last of the blocks of threads reads what the others have written.
template <Fences kFences>
__global__ void LastAddsUp(int* numbers, int* arrived, int* sum) {
  __shared__ int is_last;
  const unsigned own = blockIdx.x * kThreads + threadIdx.x;
  if (kFences == Fences::kTooEarly) __threadfence();
  numbers[own] = 1;
  if (kFences == Fences::kBeforeBarrier) __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    const bool first = kFences == Fences::kBoth || kFences == Fences::kNoSecond ||
                       kFences == Fences::kBehindBarrier;
    if (first) __threadfence();
    is_last = atomicAdd(arrived, 1) + 1 == static_cast<int>(gridDim.x) ? 1 : 0;
    if (kFences != Fences::kNoSecond && kFences != Fences::kBehindBarrier) __threadfence();
  }
  __syncthreads();
  if (kFences == Fences::kBehindBarrier) __threadfence();
  if (is_last == 0) return;
  sum[threadIdx.x] = 0;
  for (unsigned i = (threadIdx.x + 1) % kThreads; i < gridDim.x * kThreads; i += kThreads) {
    sum[threadIdx.x] += numbers[i];
  }
}

template <Fences kFences>
bool LastIsSeen() {
  constexpr unsigned kBlocks = 40;
  std::vector<int> numbers(kBlocks * kThreads), sum(kThreads);
  int arrived = 0;
  return IsSeen(LastAddsUp<kFences>, kBlocks, numbers.data(), &arrived, sum.data());
}

TEST(MemoryOrder, FencesAroundAtomicsOrderBlocks) {
  EXPECT_FALSE(LastIsSeen<Fences::kBoth>());
  EXPECT_TRUE(LastIsSeen<Fences::kNoFirst>());
  EXPECT_TRUE(LastIsSeen<Fences::kNoSecond>());
  EXPECT_TRUE(LastIsSeen<Fences::kBeforeBarrier>());
  EXPECT_TRUE(LastIsSeen<Fences::kBehindBarrier>());
  EXPECT_TRUE(LastIsSeen<Fences::kTooEarly>());
}

// What a copy fills, and what it reads, is in use until the thread has waited and a barrier came.
enum class Copying { kRight, kNoBarrier, kTargetInUse, kSourceInUse };

template <Copying kCopying>
__global__ void Copy(int* numbers, int* out) {
  int* shared = SharedInts();
  const unsigned own = threadIdx.x;
  shared[4 * own] = 0;
  if (kCopying != Copying::kTargetInUse) __syncthreads();
  const unsigned other = (own + 1) % kThreads;
  cuda::CopyToShared(shared + 4 * other, numbers + 4 * other, 16);
  cuda::CommitCopies();
  if (kCopying == Copying::kSourceInUse) numbers[4 * own] = 1;
  cuda::WaitForCopies<0>();
  if (kCopying != Copying::kNoBarrier) __syncthreads();
  out[own] = shared[4 * own + 1];
}

template <Copying kCopying>
bool CopyIsSeen() {
  std::vector<int> numbers(4 * kThreads + 3), out(kThreads);
  const auto at = (reinterpret_cast<uintptr_t>(numbers.data()) + 15) / 16 * 16;
  return IsSeen(Copy<kCopying>, 1, reinterpret_cast<int*>(at), out.data());
}

TEST(MemoryOrder, AsynchronousCopiesReadAndWriteUntilWaitedFor) {
  EXPECT_FALSE(CopyIsSeen<Copying::kRight>());
  EXPECT_TRUE(CopyIsSeen<Copying::kNoBarrier>());
  EXPECT_TRUE(CopyIsSeen<Copying::kTargetInUse>());
  EXPECT_TRUE(CopyIsSeen<Copying::kSourceInUse>());
}

// A launch that overlaps the one before, which overlaps the one before it.
constexpr int kApart = 4;  // the sanitizer remembers four accesses of 8 bytes
enum class Early { kNothing, kOther, kOfTheLast, kOfTheOneBefore, kWrite };

template <int kWhich>
__global__ void WriteOne(int* numbers) {
  cuda::WaitForLaunchBefore();
  numbers[kApart * kWhich] = 1;
}

template <Early kEarly>
__global__ void ReadEarly(int* numbers) {
  int early = 0;
  if (kEarly == Early::kOther) early = numbers[kApart * 2];
  if (kEarly == Early::kOfTheLast) early = numbers[kApart];
  if (kEarly == Early::kOfTheOneBefore) early = numbers[0];
  if (kEarly == Early::kWrite) numbers[kApart] = 2;
  cuda::WaitForLaunchBefore();
  numbers[kApart * 3] = early + numbers[0] + numbers[kApart];
}

template <Early kEarly>
bool OverlapIsSeen() {
  cudaStream_t stream = nullptr;
  void* memory = nullptr;
  EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&memory, 64), cudaSuccess);
  auto* numbers = static_cast<int*>(memory);
  const cuda_on_cpu::ExpectedRaces races;
  const dim3 one{1, 1, 1};
  EXPECT_EQ(cuda::LaunchThat(false, WriteOne<3>, one, 0, stream, numbers), nullptr);
  EXPECT_EQ(cuda::LaunchThat(false, WriteOne<0>, one, 0, stream, numbers), nullptr);
  EXPECT_EQ(cuda::LaunchThat(true, WriteOne<1>, one, 0, stream, numbers), nullptr);
  EXPECT_EQ(cuda::LaunchThat(true, ReadEarly<kEarly>, one, 0, stream, numbers), nullptr);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  return races.Seen() > 0;
}

TEST(MemoryOrder, WhatOverlapsUsesNothingOfLaunchesBeforeUntilItHasWaited) {
  EXPECT_FALSE(OverlapIsSeen<Early::kNothing>());
  EXPECT_FALSE(OverlapIsSeen<Early::kOther>());
  EXPECT_TRUE(OverlapIsSeen<Early::kOfTheLast>());
  EXPECT_TRUE(OverlapIsSeen<Early::kOfTheOneBefore>());
  EXPECT_TRUE(OverlapIsSeen<Early::kWrite>());
}

}  // namespace
}  // namespace cairn
