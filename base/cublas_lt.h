// cuBLASLt, loaded when products on a device are first wanted: it is 500 MB that nobody without a
// GPU should have to install. For what adapts it (cublas_product.cc, device_matmul_cuda.cc).
#pragma once

#include <cublasLt.h>

#include <span>

#include "base/error.h"

namespace cairn {

/// The functions of it that are used, with the types of the header that cairn was built with. From
/// CUDA 12 to 13 these are the same.
struct CublasLt {
  decltype(&cublasLtGetVersion) version = nullptr;
  decltype(&cublasLtGetStatusString) status_string = nullptr;
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtMatmulDescCreate) create_operation = nullptr;
  decltype(&cublasLtMatmulDescDestroy) destroy_operation = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) set_operation = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) create_layout = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) find_algorithm = nullptr;
  decltype(&cublasLtMatmul) multiply = nullptr;

  /// kResource for memory, kUnsupported for what it cannot do, kIo for anything else, in its words.
  Status Check(const char* what, cublasStatus_t status) const;
};

/// The first of the files or names, as dlopen takes them, that there is. It stays loaded.
/// kUnsupported with the reason and the remedy for none, or one that is not what it should be.
Result<CublasLt> OpenCublasLt(std::span<const char* const> names);

/// The one for this program, found where the loader looks or in /usr/local/cuda/lib64. The first
/// call decides for all. Thread-safe.
Result<const CublasLt*> LoadCublasLt();

}  // namespace cairn
