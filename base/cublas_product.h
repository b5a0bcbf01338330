// A product of one shape as cuBLASLt is told of it, and the algorithm that it chose for it. For
// device_matmul_cuda.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "base/cublas_lt.h"
#include "base/dtype.h"

namespace cairn {

/// Memory on a device that a product may work in.
struct CublasWorkspace {
  std::byte* data;
  size_t bytes;
};

/// y [rows, n] f32 = x [rows, k] · weights [n, k]ᵀ, all row-major and dense. cuBLASLt's matrices
/// are column-major: the same memory is yᵀ [n, rows] = weights [k, n]ᵀ · xᵀ [k, rows] to it.
class CublasProduct {
 public:
  /// Whether algorithms may count on it, of weights, x and y.
  static constexpr uint32_t kAlignmentBytes = 16;

  /// x and weights of `type` (kF32 or kBF16), sums in f32. `lt` must outlive it.
  static Result<CublasProduct> Make(const CublasLt& lt, DType type, int64_t n, int64_t k,
                                    int64_t rows);
  /// Asks for an algorithm that takes at most so much to work in. kUnsupported if there is none.
  Status Choose(cublasLtHandle_t handle, size_t workspace_bytes);
  /// Behind Choose. Launches on the stream and returns at once.
  Status Run(cublasLtHandle_t handle, const std::byte* weights, const std::byte* x, float* y,
             const CublasWorkspace& workspace, cudaStream_t stream) const;

  cublasLtMatmulDesc_t operation() const { return operation_.get(); }
  cublasLtMatrixLayout_t weights_layout() const { return weights_.get(); }
  cublasLtMatrixLayout_t x_layout() const { return x_.get(); }
  cublasLtMatrixLayout_t y_layout() const { return y_.get(); }

 private:
  template <class Handle>
  using Owned =
      std::unique_ptr<std::remove_pointer_t<Handle>, cublasStatus_t (*)(Handle)>;  // nullable

  CublasProduct(const CublasLt& lt, int64_t n, int64_t k, int64_t rows);
  Status MakeLayout(cudaDataType type, int64_t rows, int64_t columns,
                    Owned<cublasLtMatrixLayout_t>* layout);
  Status Transpose();

  const CublasLt* lt_;
  int64_t n_, k_, rows_;
  Owned<cublasLtMatmulDesc_t> operation_;
  Owned<cublasLtMatrixLayout_t> weights_, x_, y_;
  cublasLtMatmulAlgo_t algorithm_ = {};
};

}  // namespace cairn
