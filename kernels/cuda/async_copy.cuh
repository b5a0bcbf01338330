// Copies from global into shared memory that go on while the thread does other things (cp.async, of
// compute capability 8.0).
#pragma once

#include "kernels/cuda/device.cuh"

namespace cairn::cuda {

inline constexpr int kCopyBytes = 16;
inline constexpr int kLineBytes = 128;  // of the cache

/// Fills 16 bytes of shared memory: `bytes` of them, 0 to 16, from global memory, the others with
/// zeros. Both addresses are aligned to 16 and valid, whatever `bytes` is.
__device__ __forceinline__ void CopyToShared(void* to, const void* from, int bytes) {
#ifdef __CUDACC__
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(to))),
               "l"(__cvta_generic_to_global(from)), "r"(bytes)
               : "memory");
#else
  cuda_on_cpu::CopyToShared(to, from, static_cast<size_t>(bytes));
#endif
}

/// What the thread has asked for since the last time becomes a group.
__device__ __forceinline__ void CommitCopies() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  cuda_on_cpu::ThreadCopies().Commit();
#endif
}

/// Until all groups of the thread but the newest kLeft are there. Others see them behind a barrier.
template <int kLeft>
__device__ __forceinline__ void WaitForCopies() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
#else
  cuda_on_cpu::ThreadCopies().Wait(kLeft);
#endif
}

/// Asks for global memory to be brought into the cache of the second level, a line at a time, by
/// all threads of the block; waits for nothing.
__device__ __forceinline__ void PrefetchBytes(const std::byte* at, int64_t bytes) {
  for (int64_t i = int64_t{threadIdx.x} * kLineBytes; i < bytes; i += kThreads * kLineBytes) {
#ifdef __CUDACC__
    asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(at + i)));
#else
    static_cast<void>(*static_cast<const volatile std::byte*>(at + i));
#endif
  }
}

}  // namespace cairn::cuda
