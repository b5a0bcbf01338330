#include <array>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "base/dtype.h"
#include "tests/support/cuda_on_cpu/cublasLt.h"
#include "tests/support/cuda_on_cpu/fiber_switch.h"

struct cublasLtContext {};
struct cublasLtMatmulDescOpaque_t {
  cublasComputeType_t compute;
  cudaDataType scale;
  std::array<int32_t, 2> transposed = {CUBLAS_OP_N, CUBLAS_OP_N};  // of A and B
};
struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType type;
  uint64_t rows, columns;
  int64_t leading;
};
struct cublasLtMatmulPreferenceOpaque_t {
  uint64_t workspace_bytes = 0;
  std::array<uint32_t, 4> alignments = {256, 256, 256, 256};  // of A, B, C and D
};

namespace {

using cairn::cuda_on_cpu::CallFails;
using cairn::cuda_on_cpu::CublasCounts;
using cairn::cuda_on_cpu::IsDeviceMemory;

constexpr uint64_t kWorkspaceBytes = 64 << 10;

std::mutex mutex;
CublasCounts counts;
std::set<const void*> alive;  // handles and descriptions

bool IsAlive(std::initializer_list<const void*> things) {
  const std::lock_guard lock(mutex);
  for (const void* thing : things) {
    if (!alive.contains(thing)) return false;
  }
  return true;
}

template <class T>
cublasStatus_t Create(T** made, T value) {
  if (CallFails()) return CUBLAS_STATUS_ALLOC_FAILED;
  const std::lock_guard lock(mutex);
  *made = std::make_unique<T>(value).release();
  alive.insert(*made);
  return CUBLAS_STATUS_SUCCESS;
}

template <class T>
cublasStatus_t Destroy(T* thing) {
  const std::lock_guard lock(mutex);
  if (alive.erase(thing) == 0) return CUBLAS_STATUS_INVALID_VALUE;
  const std::unique_ptr<T> owned(thing);
  return CUBLAS_STATUS_SUCCESS;
}

template <class T>
cublasStatus_t Set(T* target, const void* value, size_t bytes) {
  if (value == nullptr || bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(target, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

size_t ElementBytes(cudaDataType type) { return type == CUDA_R_32F ? 4 : 2; }

// What an algorithm was found for: one that is used for anything else is refused.
cublasLtMatmulAlgo_t Algorithm(const cublasLtMatmulDescOpaque_t& operation,
                               const cublasLtMatrixLayoutOpaque_t& a,
                               const cublasLtMatrixLayoutOpaque_t& b) {
  const auto transposed =
      static_cast<uint64_t>(operation.transposed[0] * 2 + operation.transposed[1]);
  return {{a.rows, a.columns, b.rows, b.columns, static_cast<uint64_t>(a.type), transposed}};
}

struct Shape {
  uint64_t rows, columns, inner;
};

cublasStatus_t CheckShapes(const cublasLtMatmulDescOpaque_t& operation,
                           const cublasLtMatrixLayoutOpaque_t& a,
                           const cublasLtMatrixLayoutOpaque_t& b,
                           const cublasLtMatrixLayoutOpaque_t& c,
                           const cublasLtMatrixLayoutOpaque_t& d, Shape* shape) {
  for (const auto* layout : {&a, &b, &c, &d}) {
    if (layout->rows == 0 || layout->columns == 0) return CUBLAS_STATUS_INVALID_VALUE;
    if (layout->leading < static_cast<int64_t>(layout->rows)) return CUBLAS_STATUS_INVALID_VALUE;
  }
  const bool a_turned = operation.transposed[0] == CUBLAS_OP_T;
  const bool b_turned = operation.transposed[1] == CUBLAS_OP_T;
  *shape = {a_turned ? a.columns : a.rows, b_turned ? b.rows : b.columns,
            a_turned ? a.rows : a.columns};
  const bool fits = shape->inner == (b_turned ? b.columns : b.rows) && d.rows == shape->rows &&
                    d.columns == shape->columns && c.rows == d.rows && c.columns == d.columns &&
                    c.leading == d.leading;
  if (!fits) return CUBLAS_STATUS_INVALID_VALUE;
  const bool known = (a.type == CUDA_R_32F || a.type == CUDA_R_16BF) && b.type == a.type &&
                     c.type == CUDA_R_32F && d.type == CUDA_R_32F &&
                     operation.compute == CUBLAS_COMPUTE_32F && operation.scale == CUDA_R_32F;
  return known ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

uint64_t MatrixBytes(const cublasLtMatrixLayoutOpaque_t& layout) {
  const uint64_t elements =
      static_cast<uint64_t>(layout.leading) * (layout.columns - 1) + layout.rows;
  return elements * ElementBytes(layout.type);
}

bool IsThere(const void* memory, const cublasLtMatrixLayoutOpaque_t& layout) {
  return IsDeviceMemory(memory, MatrixBytes(layout));
}

bool IsAligned(const void* memory, uint64_t bytes) {
  return reinterpret_cast<uintptr_t>(memory) % bytes == 0;
}

// One row of op(A), or column of op(B), as floats: by lines of the matrix, or across them.
void Gather(const void* memory, const cublasLtMatrixLayoutOpaque_t& layout, bool along,
            uint64_t index, std::vector<float>* numbers) {
  const auto leading = static_cast<uint64_t>(layout.leading);
  const auto type = layout.type == CUDA_R_32F ? cairn::DType::kF32 : cairn::DType::kBF16;
  const auto* bytes = static_cast<const std::byte*>(memory);
  const size_t element = ElementBytes(layout.type);
  if (along) {
    cairn::ConvertToFloat(type, bytes + index * leading * element, numbers->data(),
                          numbers->size());
    return;
  }
  for (uint64_t i = 0; i < numbers->size(); ++i) {
    cairn::ConvertToFloat(type, bytes + (i * leading + index) * element, &(*numbers)[i], 1);
  }
}

float Dot(const float* a, const float* b, uint64_t count) {
  constexpr uint64_t kSums = 8;  // so that the compiler can add some at once
  float sums[kSums] = {};
  uint64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (uint64_t s = 0; s < kSums; ++s) sums[s] += a[i + s] * b[i + s];
  }
  float sum = 0;
  for (; i < count; ++i) sum += a[i] * b[i];
  for (const float part : sums) sum += part;
  return sum;
}

struct Product {
  Shape shape;
  bool a_turned, b_turned;
  float alpha, beta;
  const void *a, *b, *c;
  cublasLtMatrixLayoutOpaque_t a_layout, b_layout;
  void* d;
  uint64_t leading;  // of C and D
  void* workspace;

  void SeeMatrices() const {
    const cairn::cuda_on_cpu::Seen seen;
    using cairn::cuda_on_cpu::SeeRead, cairn::cuda_on_cpu::SeeWrite;
    SeeRead(a, MatrixBytes(a_layout));
    SeeRead(b, MatrixBytes(b_layout));
    for (uint64_t j = 0; j < shape.columns; ++j) {
      const uint64_t at = j * leading;
      if (beta != 0) SeeRead(static_cast<const float*>(c) + at, shape.rows * sizeof(float));
      SeeWrite(static_cast<float*>(d) + at, shape.rows * sizeof(float));
    }
    SeeWrite(workspace, 1);
  }

  bool Run() const {
    SeeMatrices();
    std::memset(workspace, 0xff, kWorkspaceBytes);
    std::vector<std::vector<float>> columns(shape.columns, std::vector<float>(shape.inner));
    for (uint64_t j = 0; j < shape.columns; ++j) Gather(b, b_layout, !b_turned, j, &columns[j]);
    std::vector<float> row(shape.inner);
    for (uint64_t i = 0; i < shape.rows; ++i) {
      Gather(a, a_layout, a_turned, i, &row);
      for (uint64_t j = 0; j < shape.columns; ++j) {
        const uint64_t at = j * leading + i;
        const float old = beta == 0 ? 0 : beta * static_cast<const float*>(c)[at];
        static_cast<float*>(d)[at] = alpha * Dot(row.data(), columns[j].data(), shape.inner) + old;
      }
    }
    return true;
  }
};

}  // namespace

namespace cairn::cuda_on_cpu {

CublasCounts CountCublas() {
  const std::lock_guard lock(mutex);
  CublasCounts now = counts;
  now.left = alive.size();
  return now;
}

}  // namespace cairn::cuda_on_cpu

size_t cublasLtGetVersion() { return CUBLAS_VER_MAJOR * 10000; }

const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "the resource allocation failed";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "the function failed to launch on the GPU";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "an internal operation failed";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the requested functionality is not supported";
  }
  return "unknown";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  return Create(handle, cublasLtContext{});
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return Destroy(handle); }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation,
                                        cublasComputeType_t compute, cudaDataType scale) {
  return Create(operation, cublasLtMatmulDescOpaque_t{.compute = compute, .scale = scale});
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  return Destroy(operation);
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  if (!IsAlive({operation})) return CUBLAS_STATUS_INVALID_VALUE;
  const auto which = static_cast<size_t>(attribute - CUBLASLT_MATMUL_DESC_TRANSA);
  return Set(&operation->transposed.at(which), value, bytes);
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          uint64_t rows, uint64_t columns, int64_t leading) {
  return Create(layout, cublasLtMatrixLayoutOpaque_t{type, rows, columns, leading});
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return Destroy(layout);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return Create(preference, cublasLtMatmulPreferenceOpaque_t{});
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return Destroy(preference);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  if (!IsAlive({preference})) return CUBLAS_STATUS_INVALID_VALUE;
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
    return Set(&preference->workspace_bytes, value, bytes);
  }
  const auto which = static_cast<size_t>(attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
  return Set(&preference->alignments.at(which), value, bytes);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle,
                                              cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results,
                                              int* found) {
  if (CallFails()) return CUBLAS_STATUS_INTERNAL_ERROR;
  if (!IsAlive({handle})) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!IsAlive({operation, a, b, c, d, preference}) || wanted < 1) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  {
    const std::lock_guard lock(mutex);
    ++counts.heuristics;
  }
  *found = 0;
  Shape shape;
  const cublasStatus_t status = CheckShapes(*operation, *a, *b, *c, *d, &shape);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (preference->workspace_bytes < kWorkspaceBytes) return CUBLAS_STATUS_NOT_SUPPORTED;
  *results = {.algo = Algorithm(*operation, *a, *b),
              .workspaceSize = kWorkspaceBytes,
              .state = CUBLAS_STATUS_SUCCESS,
              .wavesCount = 1,
              .reserved = {}};
  const auto& alignments = preference->alignments;
  results->algo.data[6] = alignments[0] | uint64_t{alignments[1]} << 32;
  results->algo.data[7] = alignments[2] | uint64_t{alignments[3]} << 32;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                              const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout,
                              const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  if (!IsAlive({handle})) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!IsAlive({operation, a_layout, b_layout, c_layout, d_layout}) || algorithm == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  Shape shape;
  const cublasStatus_t status =
      CheckShapes(*operation, *a_layout, *b_layout, *c_layout, *d_layout, &shape);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const cublasLtMatmulAlgo_t expected = Algorithm(*operation, *a_layout, *b_layout);
  const uint64_t* found = algorithm->data;
  const bool sound = std::memcmp(found, expected.data, 6 * sizeof(uint64_t)) == 0 &&
                     IsThere(a, *a_layout) && IsThere(b, *b_layout) && IsThere(c, *c_layout) &&
                     IsThere(d, *d_layout) && IsAligned(a, found[6] & 0xffffffffu) &&
                     IsAligned(b, found[6] >> 32) && IsAligned(c, found[7] & 0xffffffffu) &&
                     IsAligned(d, found[7] >> 32) && workspace_bytes >= kWorkspaceBytes &&
                     IsDeviceMemory(workspace, workspace_bytes) && IsAligned(workspace, 256);
  if (!sound) return CUBLAS_STATUS_INVALID_VALUE;
  {
    const std::lock_guard lock(mutex);
    ++counts.products;
  }
  const Product product = {.shape = shape,
                           .a_turned = operation->transposed[0] == CUBLAS_OP_T,
                           .b_turned = operation->transposed[1] == CUBLAS_OP_T,
                           .alpha = *static_cast<const float*>(alpha),
                           .beta = *static_cast<const float*>(beta),
                           .a = a,
                           .b = b,
                           .c = c,
                           .a_layout = *a_layout,
                           .b_layout = *b_layout,
                           .d = d,
                           .leading = static_cast<uint64_t>(d_layout->leading),
                           .workspace = workspace};
  const cudaError_t put =
      cairn::cuda_on_cpu::PutLaunch(stream, [product] { return product.Run(); });
  return put == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
