// DeviceMatmul: matrix products on a device, by cuBLASLt, which is loaded when the first is opened.
// In a build without CUDA, or without cuBLASLt's header, none can be opened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/device.h"
#include "base/dtype.h"
#include "base/error.h"

namespace cairn {

/// One thread at a time. All products of one work in the same 32 MiB on the device, so those on
/// different streams must be ordered by events. The device must outlive it, and it must outlive
/// what was launched, or captured into a graph.
class DeviceMatmul {
 public:
  /// Of weights, x and y.
  static constexpr size_t kAlignmentBytes = 16;

  /// kUnsupported with the remedy if cuBLASLt is not there; kResource if the device has no 32 MiB.
  static Result<DeviceMatmul> Open(Device& device);
  DeviceMatmul(DeviceMatmul&&) noexcept;
  DeviceMatmul& operator=(DeviceMatmul&&) noexcept;
  ~DeviceMatmul();

  /// y [rows, n] f32 = x [rows, k] · weights [n, k]ᵀ, all on the device, row-major, dense and
  /// aligned as above; x and weights of `type` (kF32 or kBF16), sums in f32. Launches on the stream
  /// and returns at once. The first product of a (type, n, k, rows) chooses an algorithm, which
  /// takes time and host memory: run each once before it is captured into a graph. Which bits a row
  /// has depends on how many rows there are.
  ///
  /// kUnsupported for bf16 where k is not a multiple of 8, so that rows were not aligned; kResource
  /// or kIo with cuBLASLt's words.
  Status Multiply(DType type, const std::byte* weights, int64_t n, int64_t k, const std::byte* x,
                  int64_t rows, float* y, DeviceStream& stream);

 private:
  struct State;
  explicit DeviceMatmul(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn
