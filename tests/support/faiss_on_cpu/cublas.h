// Stands in for cuBLAS's header cublas_v2.h, as much of it as FAISS uses: products of column-major
// matrices of f32 or f16, with sums in f32. Names and numbers are cuBLAS's.
//
// A product is put on the handle's stream, and its matrices must be device memory as far as it
// reads and writes. What is wrong is CUBLAS_STATUS_INVALID_VALUE, types and ways to compute that
// cuBLAS's table does not have CUBLAS_STATUS_NOT_SUPPORTED. A handle takes memory of the device.
#pragma once

#include "tests/support/cuda_on_cpu/cublasLt.h"
#include "tests/support/cuda_on_cpu/runtime.h"

using cudaDataType_t = cudaDataType;
using cublasHandle_t = struct cublasContext*;

inline constexpr auto CUBLAS_COMPUTE_32F_PEDANTIC = static_cast<cublasComputeType_t>(69);
enum cublasMath_t {
  CUBLAS_DEFAULT_MATH = 0,
  CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION = 16,
};
enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT = -1 };

cublasStatus_t cublasCreate(cublasHandle_t* handle);
cublasStatus_t cublasDestroy(cublasHandle_t handle);
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode);
cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream);
cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t a_turned,
                            cublasOperation_t b_turned, int m, int n, int k, const void* alpha,
                            const void* a, cudaDataType a_type, int a_leading, const void* b,
                            cudaDataType b_type, int b_leading, const void* beta, void* c,
                            cudaDataType c_type, int c_leading, cublasComputeType_t compute,
                            cublasGemmAlgo_t algorithm);
cublasStatus_t cublasSgemmEx(cublasHandle_t handle, cublasOperation_t a_turned,
                             cublasOperation_t b_turned, int m, int n, int k, const float* alpha,
                             const void* a, cudaDataType a_type, int a_leading, const void* b,
                             cudaDataType b_type, int b_leading, const float* beta, void* c,
                             cudaDataType c_type, int c_leading);
template <class... Arguments>
cublasStatus_t cublasGemmStridedBatchedEx(Arguments...);

namespace cairn::cuda_on_cpu {

/// Of the device, that a handle takes.
inline constexpr size_t kCublasBytes = size_t{32} << 20;

}  // namespace cairn::cuda_on_cpu
