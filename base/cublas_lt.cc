#include "base/cublas_lt.h"

#include <dlfcn.h>

#include <algorithm>
#include <utility>

#define CAIRN_TEXT_OF(number) #number
#define CAIRN_LIBRARY(version) "libcublasLt.so." CAIRN_TEXT_OF(version)
#define CAIRN_PLACES(version) \
  CAIRN_LIBRARY(version), "/usr/local/cuda/lib64/" CAIRN_LIBRARY(version)

namespace cairn {
namespace {

constexpr size_t kVersionsKnown[] = {CUBLAS_VER_MAJOR, 13, 12};

template <class Function>
Status Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  if (*function != nullptr) return Ok();
  return Fail(Errc::kUnsupported, "cuBLASLt has no function {}; install libcublas of CUDA {}", name,
              CUBLAS_VER_MAJOR);
}

Status FindAll(void* library, CublasLt* lt) {
  CAIRN_TRY(Find(library, "cublasLtGetVersion", &lt->version));
  CAIRN_TRY(Find(library, "cublasLtGetStatusString", &lt->status_string));
  CAIRN_TRY(Find(library, "cublasLtCreate", &lt->create));
  CAIRN_TRY(Find(library, "cublasLtDestroy", &lt->destroy));
  CAIRN_TRY(Find(library, "cublasLtMatmulDescCreate", &lt->create_operation));
  CAIRN_TRY(Find(library, "cublasLtMatmulDescDestroy", &lt->destroy_operation));
  CAIRN_TRY(Find(library, "cublasLtMatmulDescSetAttribute", &lt->set_operation));
  CAIRN_TRY(Find(library, "cublasLtMatrixLayoutCreate", &lt->create_layout));
  CAIRN_TRY(Find(library, "cublasLtMatrixLayoutDestroy", &lt->destroy_layout));
  CAIRN_TRY(Find(library, "cublasLtMatmulPreferenceCreate", &lt->create_preference));
  CAIRN_TRY(Find(library, "cublasLtMatmulPreferenceDestroy", &lt->destroy_preference));
  CAIRN_TRY(Find(library, "cublasLtMatmulPreferenceSetAttribute", &lt->set_preference));
  CAIRN_TRY(Find(library, "cublasLtMatmulAlgoGetHeuristic", &lt->find_algorithm));
  return Find(library, "cublasLtMatmul", &lt->multiply);
}

Result<CublasLt> Resolve(void* library) {
  CublasLt lt;
  CAIRN_TRY(FindAll(library, &lt));
  const size_t version = lt.version() / 10000;
  if (std::ranges::find(kVersionsKnown, version) == std::end(kVersionsKnown)) {
    return Fail(Errc::kUnsupported,
                "cuBLASLt is of CUDA {}, and this cairn was built with that of CUDA {}; install "
                "libcublas of that version",
                version, CUBLAS_VER_MAJOR);
  }
  return lt;
}

}  // namespace

Result<CublasLt> OpenCublasLt(std::span<const char* const> names) {
  std::string reason;
  for (const char* name : names) {
    void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      if (reason.empty()) reason = dlerror();
      continue;
    }
    auto lt = Resolve(library);
    if (!lt) dlclose(library);
    return lt;
  }
  return Fail(Errc::kUnsupported,
              "products on a GPU need cuBLASLt, which cannot be loaded ({}); install libcublas of "
              "CUDA {} where the loader finds it (NVIDIA's libcublas package or toolkit), or use "
              "--device cpu",
              reason, CUBLAS_VER_MAJOR);
}

Result<const CublasLt*> LoadCublasLt() {
  static constexpr const char* kNames[] = {CAIRN_PLACES(CUBLAS_VER_MAJOR), CAIRN_PLACES(13),
                                           CAIRN_PLACES(12)};
  static const Result<CublasLt> loaded = OpenCublasLt(kNames);
  if (!loaded) return loaded.error();
  return &loaded.value();
}

}  // namespace cairn
