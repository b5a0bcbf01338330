// What kernels use of the device: warps, numbers of 16 bits, shared memory, launches. Where a host
// compiler builds the kernels for tests, it finds a stand-in for cuda_runtime.h; the few things
// that need other words there are here.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/launch.h"

#ifndef __CUDACC__
#include "base/dtype.h"
#endif

namespace cairn::cuda {

inline constexpr int kWarp = 32;
inline constexpr uint32_t kAllLanes = 0xffffffffu;
inline constexpr int kThreads = 128;  // of a block, in every kernel
inline constexpr int kWarps = kThreads / kWarp;

__device__ __forceinline__ int OwnWarp() { return static_cast<int>(threadIdx.x) / kWarp; }

__device__ __forceinline__ float MinusInfinity() { return __uint_as_float(0xff800000u); }

__device__ __forceinline__ float HalfToFloat(uint16_t bits) {
#ifdef __CUDACC__
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
#else
  return ::cairn::HalfToFloat(bits);
#endif
}

/// To nearest even, as the host does; of what is no number too, which the instruction makes
/// another.
__device__ __forceinline__ uint16_t FloatToHalf(float value) {
#ifdef __CUDACC__
  const uint32_t whole = __float_as_uint(value);
  if ((whole & 0x7fffffffu) > 0x7f800000u) {
    return static_cast<uint16_t>((whole >> 16 & 0x8000u) | 0x7e00u | (whole >> 13 & 0x3ffu));
  }
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
#else
  return ::cairn::FloatToHalf(value);
#endif
}

__device__ __forceinline__ float Bf16ToFloat(uint16_t bits) {
  return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}

__device__ __forceinline__ uint16_t FloatToBf16(float value) {
  const uint32_t bits = __float_as_uint(value);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return static_cast<uint16_t>(nan ? bits >> 16 | 0x40u : rounded);
}

/// The memory that a launch asked for, aligned to 16 bytes.
__device__ __forceinline__ float* SharedFloats() {
#ifdef __CUDACC__
  extern __shared__ uint4 cairn_shared[];
  return reinterpret_cast<float*>(cairn_shared);
#else
  return reinterpret_cast<float*>(cuda_on_cpu::DynamicShared());
#endif
}

/// Over runs of `lanes` lanes, a power of two; every lane of the run gets the result.
__device__ __forceinline__ float SumOverLanes(float value, int lanes) {
  for (int apart = lanes / 2; apart > 0; apart /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, apart);
  }
  return value;
}

__device__ __forceinline__ float MaxOverWarp(float value) {
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, apart));
  }
  return value;
}

/// Whether this is the last of the blocks of threads along a grid's x to come here. What the others
/// wrote before they came is there for it, if it is read past this multiprocessor's cache (__ldcg).
/// `arrived` is 0 before the first comes, and after the last. For all threads, with barriers: what
/// orders one thread's fences orders what is on the other side of the barriers for all.
__device__ __forceinline__ bool IsLast(int32_t* arrived) {
  __shared__ int is_last;
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    is_last = atomicAdd(arrived, 1) + 1 == static_cast<int>(gridDim.x) ? 1 : 0;
    if (is_last != 0) atomicExch(arrived, 0);
    __threadfence();
  }
  __syncthreads();
  return is_last != 0;
}

/// Until all of what was launched before this on the stream has ended, and what it wrote is there.
/// For every thread of a kernel that may overlap (LaunchThat), before it reads what that writes,
/// writes what that uses, or ends. Loads by __ldg are not held behind it, nor kept before it.
__device__ __forceinline__ void WaitForLaunchBefore() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#elif !defined(__CUDACC__)
  cuda_on_cpu::WaitForLaunchBefore();
#endif
}

/// What is launched behind this may begin, if it overlaps, where there is room for it.
__device__ __forceinline__ void LetNextBegin() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/// Whether the code of a kernel that the device runs can wait for the launch before it: not where
/// it was made from what is for devices before compute capability 9.0.
template <class... Parameters>
bool CanOverlap(void (*kernel)(Parameters...)) {
  cudaFuncAttributes attributes = {};
  if (cudaFuncGetAttributes(&attributes, kernel) == cudaSuccess) return attributes.ptxVersion >= 90;
  (void)cudaGetLastError();
  return false;
}

/// Lets a kernel be launched with as much dynamic shared memory as the device has beside what is
/// the kernel's own. Whatever a launch uses: the limit is the kernel's, and another thread may be
/// about to launch it with more.
template <class... Parameters>
cudaError_t AllowShared(void (*kernel)(Parameters...)) {
  cudaFuncAttributes attributes = {};
  const cudaError_t error = cudaFuncGetAttributes(&attributes, kernel);
  if (error != cudaSuccess) return error;
  const int64_t most = MostSharedBytes() - static_cast<int64_t>(attributes.sharedSizeBytes);
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(most));
}

/// Null, or what CUDA says of the launch. If it `overlaps`, the kernel may begin before what was
/// launched before it on the stream has ended, and waits for that itself.
template <class... Parameters>
const char* LaunchThat(bool overlaps, void (*kernel)(Parameters...), dim3 grid,
                       int64_t shared_bytes, CUstream_st* stream, const Parameters&... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3{static_cast<unsigned>(kThreads), 1, 1};
  config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  config.stream = stream;
  cudaLaunchAttribute overlap = {};
  if (overlaps && CanOverlap(kernel)) {
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    config.attrs = &overlap;
    config.numAttrs = 1;
  }
  cudaError_t error = cudaSuccess;
  if (shared_bytes > 48 << 10) error = AllowShared(kernel);
  if (error == cudaSuccess) error = cudaLaunchKernelEx(&config, kernel, arguments...);
  if (error == cudaSuccess) return nullptr;
  (void)cudaGetLastError();  // else who asks next takes it for theirs
  return cudaGetErrorString(error);
}

template <class... Parameters>
const char* Launch(void (*kernel)(Parameters...), dim3 grid, int64_t shared_bytes,
                   CUstream_st* stream, const Parameters&... arguments) {
  return LaunchThat(false, kernel, grid, shared_bytes, stream, arguments...);
}

}  // namespace cairn::cuda
