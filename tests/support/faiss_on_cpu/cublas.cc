#include "tests/support/faiss_on_cpu/cublas.h"

#include <memory>
#include <vector>

#include "base/dtype.h"

struct cublasContext {
  void* workspace = nullptr;
  cudaStream_t stream = nullptr;
  cublasMath_t mode = CUBLAS_DEFAULT_MATH;
};

namespace {

using cairn::cuda_on_cpu::IsDeviceMemory;

struct Matrix {
  const void* numbers;
  cudaDataType type;
  bool turned;
  int leading;
};

struct Product {
  int m, n, k;
  float alpha;
  Matrix a, b;  // op(A) is [m, k], op(B) [k, n]
  float* c;
  int c_leading;

  void Run() const;
};

size_t ElementBytes(cudaDataType type) { return type == CUDA_R_32F ? 4 : 2; }

// `lines` of a matrix, `length` numbers each.
size_t Bytes(size_t lines, size_t length, int leading, cudaDataType type) {
  return ((lines - 1) * static_cast<size_t>(leading) + length) * ElementBytes(type);
}

// Row `index` of op(A), or column of op(B): along a line of the matrix.
void Gather(const Matrix& matrix, int index, std::vector<float>* numbers) {
  const auto type = matrix.type == CUDA_R_32F ? cairn::DType::kF32 : cairn::DType::kF16;
  const size_t first = static_cast<size_t>(index) * static_cast<size_t>(matrix.leading);
  cairn::ConvertToFloat(
      type, static_cast<const std::byte*>(matrix.numbers) + first * ElementBytes(matrix.type),
      numbers->data(), numbers->size());
}

void Product::Run() const {
  std::vector<float> row(static_cast<size_t>(k));
  std::vector<float> columns(static_cast<size_t>(n) * row.size());
  for (int j = 0; j < n; ++j) {
    std::vector<float> column(row.size());
    Gather(b, j, &column);
    std::copy(column.begin(), column.end(), columns.begin() + j * k);
  }
  for (int i = 0; i < m; ++i) {
    Gather(a, i, &row);
    for (int j = 0; j < n; ++j) {
      // Zeros are added too: times what is no number they are none. From the end, unlike the host.
      const float* column = columns.data() + static_cast<size_t>(j) * row.size();
      float sum = 0;
      for (int at = k; at-- > 0;) sum += row[static_cast<size_t>(at)] * column[at];
      c[static_cast<size_t>(j) * static_cast<size_t>(c_leading) + static_cast<size_t>(i)] =
          alpha * sum;
    }
  }
}

}  // namespace

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  auto made = std::make_unique<cublasContext>();
  if (cudaMalloc(&made->workspace, cairn::cuda_on_cpu::kCublasBytes) != cudaSuccess) {
    (void)cudaGetLastError();  // its run time is not the program's
    return CUBLAS_STATUS_ALLOC_FAILED;
  }
  *handle = made.release();
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  const std::unique_ptr<cublasContext> owned(handle);
  return cudaFree(owned->workspace) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                   : CUBLAS_STATUS_INTERNAL_ERROR;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  handle->mode = mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

// op(A) and op(B) are read along lines: FAISS asks for nothing else.
cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t a_turned,
                            cublasOperation_t b_turned, int m, int n, int k, const void* alpha,
                            const void* a, cudaDataType a_type, int a_leading, const void* b,
                            cudaDataType b_type, int b_leading, const void* beta, void* c,
                            cudaDataType c_type, int c_leading, cublasComputeType_t compute,
                            cublasGemmAlgo_t algorithm) {
  const bool known = (a_type == CUDA_R_32F || a_type == CUDA_R_16F) && b_type == a_type &&
                     c_type == CUDA_R_32F && a_turned == CUBLAS_OP_T && b_turned == CUBLAS_OP_N &&
                     (compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_PEDANTIC) &&
                     algorithm == CUBLAS_GEMM_DEFAULT && *static_cast<const float*>(beta) == 0;
  if (!known) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (m < 1 || n < 1 || k < 1 || a_leading < k || b_leading < k || c_leading < m) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const auto rows = static_cast<size_t>(m), columns = static_cast<size_t>(n);
  const auto inner = static_cast<size_t>(k);
  if (!IsDeviceMemory(a, Bytes(rows, inner, a_leading, a_type)) ||
      !IsDeviceMemory(b, Bytes(columns, inner, b_leading, b_type)) ||
      !IsDeviceMemory(c, Bytes(columns, rows, c_leading, c_type))) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const Product product = {.m = m,
                           .n = n,
                           .k = k,
                           .alpha = *static_cast<const float*>(alpha),
                           .a = {a, a_type, true, a_leading},
                           .b = {b, b_type, false, b_leading},
                           .c = static_cast<float*>(c),
                           .c_leading = c_leading};
  const auto run = [product] {
    product.Run();
    return true;
  };
  const cudaError_t put = cairn::cuda_on_cpu::PutLaunch(handle->stream, run);
  return put == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

cublasStatus_t cublasSgemmEx(cublasHandle_t handle, cublasOperation_t a_turned,
                             cublasOperation_t b_turned, int m, int n, int k, const float* alpha,
                             const void* a, cudaDataType a_type, int a_leading, const void* b,
                             cudaDataType b_type, int b_leading, const float* beta, void* c,
                             cudaDataType c_type, int c_leading) {
  return cublasGemmEx(handle, a_turned, b_turned, m, n, k, alpha, a, a_type, a_leading, b, b_type,
                      b_leading, beta, c, c_type, c_leading, CUBLAS_COMPUTE_32F,
                      CUBLAS_GEMM_DEFAULT);
}
