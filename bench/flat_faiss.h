// FlatFaiss: Debian's FAISS searching a flat inner-product index, to be measured beside.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace cairn {

class FlatFaiss {
 public:
  FlatFaiss(int32_t dim, int64_t count, const float* vectors);
  ~FlatFaiss();
  FlatFaiss(FlatFaiss&&) noexcept;

  /// The k best vectors of each of `rows` queries [rows, D], on one core. `blas`: by matrix
  /// products even for few queries (distance_compute_blas_threshold = 1); else as FAISS comes.
  void Search(const float* queries, int32_t rows, int32_t k, bool blas, std::span<float> scores,
              std::span<int64_t> labels) const;

  /// What OpenBLAS multiplies with, e.g. "Zen" or "SkylakeX"; empty for another library.
  static std::string BlasCore();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn
