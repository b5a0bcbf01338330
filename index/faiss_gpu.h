// FaissGpu: FAISS's search of flat vectors on a GPU, over memory of ours. Only faiss_gpu.cc knows
// FAISS's headers for GPUs and CUDA's; a build without has faiss_gpu_none.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/device.h"
#include "base/dtype.h"
#include "base/error.h"

namespace cairn {

/// The k largest inner products of each query; all pointers are on the device. What is equal, or as
/// good as equal by f32 sums of rounded products, comes in any order. Products that are no number
/// or -inf are not found: label -1.
struct FlatSearch {
  DType type = DType::kF32;            ///< kF32 or kF16, of vectors and queries
  int32_t dim = 0;                     ///< of vectors and queries
  const std::byte* vectors = nullptr;  ///< [count, dim] dense
  int64_t count = 0;                   ///< below 2^31
  const std::byte* queries = nullptr;  ///< [rows, dim] dense
  int64_t rows = 0;
  int32_t k = 0;              ///< 1 to kMost, and ≤ count
  float* scores = nullptr;    ///< [rows, k], largest first
  int32_t* labels = nullptr;  ///< [rows, k], numbers of vectors
  static constexpr int32_t kMost = 1024;
};

/// One thread at a time.
class FaissGpu {
 public:
  /// For searches on this stream of this device, both of which must outlive it. Takes 256 MiB
  /// there, and what cuBLAS takes. kUnsupported where this build or machine has not what it needs,
  /// with the remedy; kResource if FAISS has no memory, or less than 320 MiB are free.
  static Result<std::unique_ptr<FaissGpu>> Make(Device& device, CUstream_st* stream);
  ~FaissGpu();
  FaissGpu(const FaissGpu&) = delete;
  FaissGpu& operator=(const FaissGpu&) = delete;

  /// Puts the search on the stream; the device is in use by the calling thread. kResource in
  /// FAISS's words. What FAISS takes for impossible, as an error of CUDA while it works, ends the
  /// process.
  Status Search(const FlatSearch& search);

 private:
  struct State;
  explicit FaissGpu(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// kUnsupported, with the remedy, where this build or machine has not what FaissGpu needs.
Status CheckFaissGpu();

/// How it came into this build: "system" or "source"; "" where it is not.
std::string FaissGpuKind();

}  // namespace cairn
