#include "index/faiss_gpu.h"

#include <cuda_runtime_api.h>
#include <faiss/gpu/GpuDistance.h>
#include <faiss/gpu/StandardGpuResources.h>

#include <algorithm>
#include <exception>
#include <string>
#include <string_view>

#include "base/byte_size.h"
#include "base/check.h"
#include "index/faiss_gpu_rows.h"
#ifdef CAIRN_CUBLAS_AT_RUN_TIME
#include "index/cublas_at_run_time.h"
#endif

namespace cairn {
namespace {

constexpr size_t kWorkBytes = size_t{256} << 20;
constexpr size_t kCublasBytes = size_t{64} << 20;  // it works in 32 MiB on Hopper

Error Refusal(std::string_view words) {
  return {
      Errc::kResource,
      fmt::format("FAISS on the GPU: {}; use --index auto, or a smaller --compute-memory", words)};
}

}  // namespace

struct FaissGpu::State {
  faiss::gpu::StandardGpuResources resources;
};

FaissGpu::FaissGpu(std::unique_ptr<State> state) : state_(std::move(state)) {}
FaissGpu::~FaissGpu() = default;

// FAISS ends the process where it finds no driver, no device or no cuBLAS, so it is not asked.
Status CheckFaissGpu() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    (void)cudaGetLastError();
    return Fail(Errc::kUnsupported, "FAISS finds no GPU: {}; use --index auto, or --device cpu",
                error == cudaSuccess ? "there is none" : cudaGetErrorString(error));
  }
#ifdef CAIRN_CUBLAS_AT_RUN_TIME
  if (const std::string problem = CublasProblem(); !problem.empty()) {
    return Fail(Errc::kUnsupported,
                "FAISS on a GPU needs cuBLAS: {}; install it or name its folder in "
                "LD_LIBRARY_PATH, or use --index auto",
                problem);
  }
#endif
  return Ok();
}

Result<std::unique_ptr<FaissGpu>> FaissGpu::Make(Device& device, CUstream_st* stream) {
  CAIRN_TRY(CheckFaissGpu());
  int number = 0;
  CAIRN_TRY(device.Use());
  CAIRN_TRY(const uint64_t free_bytes, device.FreeBytes());
  if (free_bytes < kWorkBytes + kCublasBytes) {  // it ends the process where cuBLAS finds none
    return Refusal(fmt::format("it takes {}, and {} has {} free",
                               FormatByteSize(kWorkBytes + kCublasBytes), device.Name(),
                               FormatByteSize(free_bytes)));
  }
  if (cudaGetDevice(&number) != cudaSuccess) {
    return Fail(Errc::kIo, "CUDA does not say which device is in use");
  }
  try {
    auto state = std::make_unique<State>();
    state->resources.setTempMemory(kWorkBytes);
    state->resources.setPinnedMemory(0);  // all that it copies from or to is on the device
    state->resources.setDefaultStream(number, stream);
    (void)state->resources.getDefaultStream(number);  // makes the rest
    return std::unique_ptr<FaissGpu>(new FaissGpu(std::move(state)));
  } catch (const std::exception& refused) {
    return Refusal(refused.what());
  }
}

Status FaissGpu::Search(const FlatSearch& search) {
  CAIRN_CHECK(search.k >= 1 && search.k <= FlatSearch::kMost && search.k <= search.count);
  if (search.count >= (int64_t{1} << 31) / search.dim) {
    return Fail(
        Errc::kUnsupported,
        "FAISS on a GPU counts a layer's numbers with 32 bits, and {} vectors of {} are too "
        "many; use --index auto",
        search.count, search.dim);
  }
  const auto type = search.type == DType::kF32 ? faiss::gpu::DistanceDataType::F32
                                               : faiss::gpu::DistanceDataType::F16;
  faiss::gpu::GpuDistanceParams params;
  params.metric = faiss::METRIC_INNER_PRODUCT;
  params.k = search.k;
  params.dims = search.dim;
  params.vectors = search.vectors;
  params.vectorType = params.queryType = type;
  params.numVectors = static_cast<int>(search.count);
  params.outIndicesType = faiss::gpu::IndicesDataType::I32;
  // More would not fit what it has to work in, and then it allocates, which waits.
  const int64_t at_once = QueriesAtOnce(search.count, search.k, kWorkBytes);
  const size_t query_bytes = static_cast<size_t>(search.dim) * DTypeBytes(search.type);
  (void)cudaGetLastError();  // FAISS would take it for its own, and end the process
  try {
    for (int64_t row = 0; row < search.rows; row += at_once) {
      params.queries = search.queries + static_cast<size_t>(row) * query_bytes;
      params.numQueries = static_cast<int>(std::min(at_once, search.rows - row));
      params.outDistances = search.scores + row * search.k;
      params.outIndices = search.labels + row * search.k;
      faiss::gpu::bfKnn(&state_->resources, params);
    }
  } catch (const std::exception& refused) {
    return Refusal(refused.what());
  }
  return Ok();
}

std::string FaissGpuKind() { return CAIRN_FAISS_GPU_KIND; }

}  // namespace cairn
