// Stands in for CUDA's other headers where a C++ compiler builds FAISS's sources for tests: types
// and calls that these name besides tests/support/cuda_on_cpu, and launches, which are rewritten
// (CMakeLists.txt). What is only declared is never called. Names are CUDA's.
#pragma once

#include <cstdlib>
#include <iostream>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tests/support/cuda_on_cpu/cuda_runtime.h"
#include "tests/support/faiss_on_cpu/cublas.h"

#define CUDA_VERSION 13000

inline constexpr unsigned cudaHostAllocDefault = 0;

inline cudaError_t cudaMallocManaged(void**, size_t) { return cudaErrorNotSupported; }
inline cudaError_t cudaDeviceSynchronize() { return cudaErrorNotSupported; }
inline cudaError_t cudaProfilerStart() { return cudaErrorNotSupported; }
inline cudaError_t cudaProfilerStop() { return cudaErrorNotSupported; }
inline void __threadfence_block() { __threadfence(); }

struct float2 {
  float x, y;
};
struct float4 {
  float x, y, z, w;
};
struct __half_raw {
  uint16_t x;
};
struct half {
  half() = default;
  half(__half_raw raw) : x(raw.x) {}
  half(int number);
  uint16_t x;
};
struct half2 {
  half x, y;
};
using __half = half;
float __half2float(half number);
half __float2half(float number);
float2 __half22float2(half2 numbers);
half2 __float22half2_rn(float2 numbers);
half2 __half2half2(half number);

// For what FAISS does not search, and for products of several matrices.
namespace thrust {
namespace cuda {
struct Policy {
  Policy on(cudaStream_t) const { return {}; }
};
inline constexpr Policy par;
}  // namespace cuda
template <class... Arguments>
void fill(Arguments&&...) {
  std::abort();
}
template <class... Arguments>
void transform(Arguments&&...) {
  std::abort();
}
}  // namespace thrust

namespace cairn::cuda_on_cpu {

/// kernel<<<grid, block, shared_bytes, stream>>>(arguments) is Launching(…, kernel)(arguments).
/// What a device refuses to launch ends the program.
template <class Kernel>
class Launching {
 public:
  Launching(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, Kernel kernel)
      : config_{grid, block, shared_bytes, stream}, kernel_(kernel) {}
  Launching(dim3 grid, int threads, size_t shared_bytes, cudaStream_t stream, Kernel kernel)
      : Launching(grid, dim3(threads), shared_bytes, stream, kernel) {}

  template <class... Arguments>
  void operator()(Arguments&&... arguments) const {
    static const char of_kernel = 0;
    if (!IsLaunchable(config_, &of_kernel)) std::abort();
    (void)PutLaunch(config_.stream, [config = config_, kernel = kernel_,
                                     values = Values<std::decay_t<Arguments>...>(arguments...)] {
      return RunGrid(config.gridDim, config.blockDim, config.dynamicSmemBytes,
                     [&] { std::apply(kernel, values.all); });
    });
  }

 private:
  // FAISS's tensors are copied from what is not constant.
  template <class... Types>
  struct Values {
    explicit Values(Types&... values) : all(values...) {}
    Values(const Values& other)
        : all(std::apply([](Types&... values) { return std::tuple<Types...>(values...); },
                         other.all)) {}
    Values& operator=(const Values&) = delete;
    ~Values() = default;
    mutable std::tuple<Types...> all;
  };

  cudaLaunchConfig_t config_;
  Kernel kernel_;
};

}  // namespace cairn::cuda_on_cpu
