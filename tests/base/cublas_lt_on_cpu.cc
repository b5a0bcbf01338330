// The functions of cuBLASLt where devices are tests/support/cuda_on_cpu: nothing is loaded.
#include "base/cublas_lt.h"

namespace cairn {

Result<const CublasLt*> LoadCublasLt() {
  static constexpr CublasLt kStandIn = {
      .version = cublasLtGetVersion,
      .status_string = cublasLtGetStatusString,
      .create = cublasLtCreate,
      .destroy = cublasLtDestroy,
      .create_operation = cublasLtMatmulDescCreate,
      .destroy_operation = cublasLtMatmulDescDestroy,
      .set_operation = cublasLtMatmulDescSetAttribute,
      .create_layout = cublasLtMatrixLayoutCreate,
      .destroy_layout = cublasLtMatrixLayoutDestroy,
      .create_preference = cublasLtMatmulPreferenceCreate,
      .destroy_preference = cublasLtMatmulPreferenceDestroy,
      .set_preference = cublasLtMatmulPreferenceSetAttribute,
      .find_algorithm = cublasLtMatmulAlgoGetHeuristic,
      .multiply = cublasLtMatmul,
  };
  return &kStandIn;
}

}  // namespace cairn
