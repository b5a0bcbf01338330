// The functions of cuBLAS that FAISS calls, as calls of a library that is loaded when it is needed:
// the program is linked with none, for it is hundreds of megabytes and most never search by FAISS.
#include "index/cublas_at_run_time.h"

#include <cublas_v2.h>
#include <dlfcn.h>
#include <fmt/format.h>

namespace cairn {
namespace {

struct Library {
  void* handle = nullptr;
  std::string problem;
};

// Has all that is called below, or a problem.
Library Open(const std::string& path) {
  Library library{dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL), ""};
  if (library.handle == nullptr) {
    library.problem = dlerror();
    return library;
  }
  for (const char* name : {"cublasCreate_v2", "cublasDestroy_v2", "cublasSetMathMode",
                           "cublasSetStream_v2", "cublasGemmEx", "cublasSgemmEx"}) {
    if (dlsym(library.handle, name) == nullptr) {
      return {nullptr, fmt::format("{} has no {}", path, name)};
    }
  }
  return library;
}

Library Load() {
  const std::string name = fmt::format("libcublas.so.{}", CUBLAS_VER_MAJOR);
  Library library = Open(name);
  if (library.handle != nullptr) return library;
  Library of_toolkit = Open("/usr/local/cuda/lib64/" + name);
  return of_toolkit.handle != nullptr ? of_toolkit : library;
}

const Library& Cublas() {
  static const Library library = Load();
  return library;
}

template <class... Arguments>
cublasStatus_t Call(const char* name, Arguments... arguments) {
  if (Cublas().handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  void* const found = dlsym(Cublas().handle, name);
  return reinterpret_cast<cublasStatus_t (*)(Arguments...)>(found)(arguments...);
}

}  // namespace

std::string CublasProblem() { return Cublas().problem; }

}  // namespace cairn

using cairn::Call;

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) { return Call("cublasCreate_v2", handle); }
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) { return Call("cublasDestroy_v2", handle); }
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  return Call("cublasSetMathMode", handle, mode);
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  return Call("cublasSetStream_v2", handle, stream);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa,
                            cublasOperation_t transb, int m, int n, int k, const void* alpha,
                            const void* a, cudaDataType a_type, int lda, const void* b,
                            cudaDataType b_type, int ldb, const void* beta, void* c,
                            cudaDataType c_type, int ldc, cublasComputeType_t compute_type,
                            cublasGemmAlgo_t algorithm) {
  return Call("cublasGemmEx", handle, transa, transb, m, n, k, alpha, a, a_type, lda, b, b_type,
              ldb, beta, c, c_type, ldc, compute_type, algorithm);
}

cublasStatus_t cublasSgemmEx(cublasHandle_t handle, cublasOperation_t transa,
                             cublasOperation_t transb, int m, int n, int k, const float* alpha,
                             const void* a, cudaDataType a_type, int lda, const void* b,
                             cudaDataType b_type, int ldb, const float* beta, void* c,
                             cudaDataType c_type, int ldc) {
  return Call("cublasSgemmEx", handle, transa, transb, m, n, k, alpha, a, a_type, lda, b, b_type,
              ldb, beta, c, c_type, ldc);
}

}  // extern "C"
