#include "base/cublas_product.h"

#include "base/check.h"

namespace cairn {

Status CublasLt::Check(const char* what, cublasStatus_t status) const {
  if (status == CUBLAS_STATUS_SUCCESS) return Ok();
  const Errc code = status == CUBLAS_STATUS_ALLOC_FAILED    ? Errc::kResource
                    : status == CUBLAS_STATUS_NOT_SUPPORTED ? Errc::kUnsupported
                                                            : Errc::kIo;
  return Fail(code, "cuBLASLt: {}: {}", what, status_string(status));
}

CublasProduct::CublasProduct(const CublasLt& lt, int64_t n, int64_t k, int64_t rows)
    : lt_(&lt),
      n_(n),
      k_(k),
      rows_(rows),
      operation_(nullptr, lt.destroy_operation),
      weights_(nullptr, lt.destroy_layout),
      x_(nullptr, lt.destroy_layout),
      y_(nullptr, lt.destroy_layout) {}

Status CublasProduct::MakeLayout(cudaDataType type, int64_t rows, int64_t columns,
                                 Owned<cublasLtMatrixLayout_t>* layout) {
  cublasLtMatrixLayout_t made = nullptr;
  CAIRN_TRY(
      lt_->Check("describing a matrix", lt_->create_layout(&made, type, static_cast<uint64_t>(rows),
                                                           static_cast<uint64_t>(columns), rows)));
  layout->reset(made);
  return Ok();
}

Status CublasProduct::Transpose() {
  const int32_t transposed = CUBLAS_OP_T;
  return lt_->Check("describing a product",
                    lt_->set_operation(operation(), CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                       sizeof(transposed)));
}

Result<CublasProduct> CublasProduct::Make(const CublasLt& lt, DType type, int64_t n, int64_t k,
                                          int64_t rows) {
  CAIRN_CHECK(type == DType::kF32 || type == DType::kBF16);
  CublasProduct product(lt, n, k, rows);
  // Not a compute type that lets f32 be rounded to TF32.
  cublasLtMatmulDesc_t operation = nullptr;
  CAIRN_TRY(lt.Check("describing a product",
                     lt.create_operation(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F)));
  product.operation_.reset(operation);
  CAIRN_TRY(product.Transpose());
  const cudaDataType input = type == DType::kBF16 ? CUDA_R_16BF : CUDA_R_32F;
  CAIRN_TRY(product.MakeLayout(input, k, n, &product.weights_));
  CAIRN_TRY(product.MakeLayout(input, k, rows, &product.x_));
  CAIRN_TRY(product.MakeLayout(CUDA_R_32F, n, rows, &product.y_));
  return product;
}

Status CublasProduct::Choose(cublasLtHandle_t handle, size_t workspace_bytes) {
  constexpr const char* kWhat = "choosing an algorithm";
  cublasLtMatmulPreference_t made = nullptr;
  CAIRN_TRY(lt_->Check(kWhat, lt_->create_preference(&made)));
  const Owned<cublasLtMatmulPreference_t> preference(made, lt_->destroy_preference);
  const uint64_t most_bytes = workspace_bytes;
  CAIRN_TRY(lt_->Check(kWhat, lt_->set_preference(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                  &most_bytes, sizeof(most_bytes))));
  for (const auto alignment :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    CAIRN_TRY(lt_->Check(
        kWhat, lt_->set_preference(made, alignment, &kAlignmentBytes, sizeof(kAlignmentBytes))));
  }
  cublasLtMatmulHeuristicResult_t best = {};
  int found = 0;
  cublasStatus_t status = lt_->find_algorithm(handle, operation(), weights_.get(), x_.get(),
                                              y_.get(), y_.get(), made, 1, &best, &found);
  if (status == CUBLAS_STATUS_SUCCESS && found > 0) status = best.state;
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && found == 0)) {
    return Fail(Errc::kUnsupported,
                "cuBLASLt has no algorithm for a product of {} rows and {} x {} weights on this "
                "device; use --device cpu",
                rows_, n_, k_);
  }
  CAIRN_TRY(lt_->Check(kWhat, status));
  algorithm_ = best.algo;
  return Ok();
}

Status CublasProduct::Run(cublasLtHandle_t handle, const std::byte* weights, const std::byte* x,
                          float* y, const CublasWorkspace& workspace, cudaStream_t stream) const {
  const float one = 1.0f, zero = 0.0f;
  return lt_->Check(
      "multiplying",
      lt_->multiply(handle, operation(), &one, weights, weights_.get(), x, x_.get(), &zero, y,
                    y_.get(), y, y_.get(), &algorithm_, workspace.data, workspace.bytes, stream));
}

}  // namespace cairn
