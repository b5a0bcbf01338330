// Stands in for CUDA's header of this name where a C++ compiler builds kernels for tests: the
// words of the language, and as much of the run time as is used (runtime.h). See thread_block.h for
// what running them here shows, and what not. Names are CUDA's.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tests/support/cuda_on_cpu/runtime.h"
#include "tests/support/cuda_on_cpu/tensor_core.h"
#include "tests/support/cuda_on_cpu/thread_block.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
// One block runs at a time, so what its threads share may be static. In a template the section
// is not used by every compiler, and such memory keeps what the block before left in it.
#define __shared__ static __attribute__((section("cuda_shared"), used))

inline const auto& threadIdx = cairn::cuda_on_cpu::thread_index;
inline const auto& blockIdx = cairn::cuda_on_cpu::block_index;
inline const auto& blockDim = cairn::cuda_on_cpu::block_size;
inline const auto& gridDim = cairn::cuda_on_cpu::grid_size;

using dim3 = cairn::cuda_on_cpu::Size3;

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

// Of the calling line, as the default of an argument.
#define CAIRN_CALL_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(CAIRN_CALL_PLACE) { cairn::cuda_on_cpu::BlockBarrier(file, line); }

inline void __syncwarp(uint32_t mask = 0xffffffffu, CAIRN_CALL_PLACE) {
  cairn::cuda_on_cpu::WarpExchange(cairn::cuda_on_cpu::WarpOperation::kBarrier, mask, 0, 0, file,
                                   line);
}

namespace cairn::cuda_on_cpu {

template <class T>
T Shuffle(uint32_t mask, T value, int source, const char* file, int line) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = WarpExchange(WarpOperation::kShuffle, mask, bits, source, file, line);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

/// Atomics of this program: threads take turns.
template <class T, class Function>
T Change(T* target, Function changed) {
  BeginChange(target);
  T old;
  __atomic_load(target, &old, __ATOMIC_RELAXED);
  T value = changed(old);
  __atomic_store(target, &value, __ATOMIC_RELAXED);
  return old;
}

}  // namespace cairn::cuda_on_cpu

// A lane whose source lies outside its part of `width` lanes gets its own value.
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lanes, int width = 32, CAIRN_CALL_PLACE) {
  const int lane = cairn::cuda_on_cpu::Lane();
  const int source = lane ^ lanes;
  const bool inside = source < (lane / width + 1) * width;
  return cairn::cuda_on_cpu::Shuffle(mask, value, inside ? source : lane, file, line);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned lanes, int width = 32, CAIRN_CALL_PLACE) {
  const int lane = cairn::cuda_on_cpu::Lane();
  const int source = lane + static_cast<int>(lanes);
  const bool inside = source < (lane / width + 1) * width;
  return cairn::cuda_on_cpu::Shuffle(mask, value, inside ? source : lane, file, line);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned lanes, int width = 32, CAIRN_CALL_PLACE) {
  const int lane = cairn::cuda_on_cpu::Lane();
  const int source = lane - static_cast<int>(lanes);
  const bool inside = source >= lane / width * width;
  return cairn::cuda_on_cpu::Shuffle(mask, value, inside ? source : lane, file, line);
}
template <class T>
T __shfl_sync(uint32_t mask, T value, int from, int width = 32, CAIRN_CALL_PLACE) {
  const int lane = cairn::cuda_on_cpu::Lane();
  const int source = lane / width * width + (from & (width - 1));
  return cairn::cuda_on_cpu::Shuffle(mask, value, source, file, line);
}

inline uint32_t __ballot_sync(uint32_t mask, int predicate, CAIRN_CALL_PLACE) {
  return static_cast<uint32_t>(cairn::cuda_on_cpu::WarpExchange(
      cairn::cuda_on_cpu::WarpOperation::kBallot, mask, predicate != 0 ? 1 : 0, 0, file, line));
}
inline int __any_sync(uint32_t mask, int predicate, CAIRN_CALL_PLACE) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(uint32_t mask, int predicate, CAIRN_CALL_PLACE) {
  return __ballot_sync(mask, predicate, file, line) == mask;
}

template <class T>
T atomicAdd(T* target, std::type_identity_t<T> value) {
  return cairn::cuda_on_cpu::Change(target, [value](T old) { return static_cast<T>(old + value); });
}
template <class T>
T atomicMax(T* target, std::type_identity_t<T> value) {
  return cairn::cuda_on_cpu::Change(target, [value](T old) { return old < value ? value : old; });
}
template <class T>
T atomicOr(T* target, std::type_identity_t<T> value) {
  return cairn::cuda_on_cpu::Change(target, [value](T old) { return old | value; });
}
template <class T>
T atomicExch(T* target, std::type_identity_t<T> value) {
  return cairn::cuda_on_cpu::Change(target, [value](T) { return value; });
}
template <class T>
T atomicCAS(T* target, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return cairn::cuda_on_cpu::Change(
      target, [expected, value](T old) { return old == expected ? value : old; });
}
inline void __threadfence() { cairn::cuda_on_cpu::Fence(); }

inline float __expf(float x) { return std::exp(x); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
template <class Word>
Word __ldg(const Word* from) {
  return *from;
}
template <class Word>
Word __ldcg(const Word* from) {
  return *from;
}
// Byte i of the result is that of x, y (the higher four) which digit i of `digits` names.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned digits) {
  const uint64_t bytes = uint64_t{y} << 32 | x;
  unsigned result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    result |= static_cast<unsigned>(bytes >> (digits >> i * 4 & 7) * 8 & 0xff) << i * 8;
  }
  return result;
}

// Launching, as far as the kernels do it. What a device of compute capability 8.0 refuses is
// refused here.
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };

struct cudaFuncAttributes {
  size_t sharedSizeBytes;
  int ptxVersion;
};
enum cudaLaunchAttributeID { cudaLaunchAttributeProgrammaticStreamSerialization = 6 };
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    int programmaticStreamSerializationAllowed;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  const cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};

namespace cairn::cuda_on_cpu {

inline constexpr size_t kSharedBytes = 48 << 10;  // of a kernel that does not ask for more

/// The dynamic shared memory that a kernel may be launched with.
size_t& SharedLimit(const void* kernel);
bool IsLaunchable(const cudaLaunchConfig_t& config, const void* kernel);

}  // namespace cairn::cuda_on_cpu

template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute, int bytes) {
  if (static_cast<size_t>(bytes) > cairn::cuda_on_cpu::MostSharedBytes()) {
    return cudaErrorInvalidValue;
  }
  cairn::cuda_on_cpu::SharedLimit(reinterpret_cast<const void*>(kernel)) =
      static_cast<size_t>(bytes);
  return cudaSuccess;
}

template <class... Parameters>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, void (*)(Parameters...)) {
  // So that launches may overlap; what a kernel has of its own is not counted here.
  *attributes = {.sharedSizeBytes = 0, .ptxVersion = 90};
  return cudaSuccess;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  if (!cairn::cuda_on_cpu::IsLaunchable(*config, reinterpret_cast<const void*>(kernel))) {
    return cudaErrorInvalidValue;
  }
  return cairn::cuda_on_cpu::PutLaunch(
      config->stream,
      [config = *config, kernel,
       values = std::tuple<Parameters...>(std::forward<Arguments>(arguments)...)] {
        return cairn::cuda_on_cpu::RunGrid(config.gridDim, config.blockDim, config.dynamicSmemBytes,
                                           [&] { std::apply(kernel, values); });
      },
      config->numAttrs > 0 && config->attrs->val.programmaticStreamSerializationAllowed != 0);
}
