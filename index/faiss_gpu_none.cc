// A build without FAISS on GPUs.
#include "index/faiss_gpu.h"

namespace cairn {

struct FaissGpu::State {};

FaissGpu::FaissGpu(std::unique_ptr<State> state) : state_(std::move(state)) {}
FaissGpu::~FaissGpu() = default;

Status CheckFaissGpu() {
  return Fail(Errc::kUnsupported,
              "this cairn was built without FAISS for GPUs (docs/gpu.md); use --index auto, or "
              "--device cpu");
}

Result<std::unique_ptr<FaissGpu>> FaissGpu::Make(Device&, CUstream_st*) {
  CAIRN_TRY(CheckFaissGpu());
  return std::unique_ptr<FaissGpu>();
}

Status FaissGpu::Search(const FlatSearch&) { return CheckFaissGpu(); }

std::string FaissGpuKind() { return ""; }

}  // namespace cairn
