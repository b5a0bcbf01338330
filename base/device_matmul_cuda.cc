// Products by cuBLASLt.
#include <cstdint>
#include <map>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/cublas_product.h"
#include "base/device_matmul.h"

namespace cairn {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;
constexpr size_t kMostProducts = 4096;

static_assert(DeviceMatmul::kAlignmentBytes == CublasProduct::kAlignmentBytes);

bool IsAligned(const void* memory) {
  return reinterpret_cast<uintptr_t>(memory) % DeviceMatmul::kAlignmentBytes == 0;
}

using Handle =
    std::unique_ptr<std::remove_pointer_t<cublasLtHandle_t>, cublasStatus_t (*)(cublasLtHandle_t)>;

}  // namespace

struct DeviceMatmul::State {
  const Device& device;
  const CublasLt& lt;
  DeviceBuffer workspace;
  Handle handle;
  std::map<std::tuple<DType, int64_t, int64_t, int64_t>, CublasProduct> products = {};

  Result<const CublasProduct*> ProductFor(DType type, int64_t n, int64_t k, int64_t rows) {
    const std::tuple key(type, n, k, rows);
    const auto found = products.find(key);
    if (found != products.end()) return &found->second;
    CAIRN_TRY(CublasProduct product, CublasProduct::Make(lt, type, n, k, rows));
    CAIRN_TRY(product.Choose(handle.get(), workspace.bytes()));
    if (products.size() == kMostProducts) products.clear();
    return &products.emplace(key, std::move(product)).first->second;
  }
};

DeviceMatmul::DeviceMatmul(std::unique_ptr<State> state) : state_(std::move(state)) {}
DeviceMatmul::DeviceMatmul(DeviceMatmul&&) noexcept = default;
DeviceMatmul& DeviceMatmul::operator=(DeviceMatmul&&) noexcept = default;
DeviceMatmul::~DeviceMatmul() = default;

Result<DeviceMatmul> DeviceMatmul::Open(Device& device) {
  CAIRN_TRY(const CublasLt* const lt, LoadCublasLt());
  CAIRN_TRY(DeviceBuffer workspace, device.Allocate(kWorkspaceBytes));
  cublasLtHandle_t handle = nullptr;
  CAIRN_TRY(lt->Check("opening it", lt->create(&handle)));
  return DeviceMatmul(std::unique_ptr<State>(
      new State{device, *lt, std::move(workspace), Handle(handle, lt->destroy)}));
}

Status DeviceMatmul::Multiply(DType type, const std::byte* weights, int64_t n, int64_t k,
                              const std::byte* x, int64_t rows, float* y, DeviceStream& stream) {
  CAIRN_CHECK(n >= 1 && k >= 1 && rows >= 0);
  CAIRN_CHECK(IsAligned(weights) && IsAligned(x) && IsAligned(y));
  if (type == DType::kBF16 && k % 8 != 0) {
    return Fail(Errc::kUnsupported,
                "rows of {} numbers of bf16 are not multiplied on a device, whose rows have "
                "multiples of 8; use --device cpu",
                k);
  }
  if (rows == 0) return Ok();
  CAIRN_TRY(state_->device.Use());
  CAIRN_TRY(const CublasProduct* const product, state_->ProductFor(type, n, k, rows));
  return product->Run(state_->handle.get(), weights, x, y,
                      {state_->workspace.data(), state_->workspace.bytes()}, stream.get());
}

}  // namespace cairn
