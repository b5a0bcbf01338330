// Products of a build without CUDA, or without cuBLASLt's header: there are none.
#include <utility>

#include "base/device_matmul.h"

namespace cairn {

struct DeviceMatmul::State {};

DeviceMatmul::DeviceMatmul(std::unique_ptr<State> state) : state_(std::move(state)) {}
DeviceMatmul::DeviceMatmul(DeviceMatmul&&) noexcept = default;
DeviceMatmul& DeviceMatmul::operator=(DeviceMatmul&&) noexcept = default;
DeviceMatmul::~DeviceMatmul() = default;

Result<DeviceMatmul> DeviceMatmul::Open(Device&) {
  return Fail(Errc::kUnsupported,
              "this cairn was built without {}, and has no products on a GPU; build it where that "
              "is (docs/gpu.md), or use --device cpu",
              Device::Api().empty() ? "CUDA" : "cuBLASLt's header");
}

Status DeviceMatmul::Multiply(DType, const std::byte*, int64_t, int64_t, const std::byte*, int64_t,
                              float*, DeviceStream&) {
  return Fail(Errc::kUnsupported, "this cairn has no products on a GPU");
}

}  // namespace cairn
