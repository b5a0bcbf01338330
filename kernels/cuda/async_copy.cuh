// Copies from global into shared memory that go on while the thread does other things (cp.async, of
// compute capability 8.0).
#pragma once

#include "kernels/cuda/device.cuh"

namespace cairn::cuda {

inline constexpr int kCopyBytes = 16;

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

/// Asks for a line of global memory to be brought near, and for nothing more.
__device__ __forceinline__ void Prefetch(const void* at) {
#ifdef __CUDACC__
  asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(at)));
#else
  static_cast<void>(*static_cast<const volatile std::byte*>(at));
#endif
}

}  // namespace cairn::cuda
