#include "bench/flat_faiss.h"

#include <faiss/IndexFlat.h>
#include <faiss/utils/distances.h>
#include <omp.h>

extern "C" void openblas_set_num_threads(int threads) __attribute__((weak));
extern "C" char* openblas_get_corename() __attribute__((weak));

namespace cairn {

struct FlatFaiss::State {
  explicit State(int32_t dim) : index(dim) {}
  faiss::IndexFlatIP index;
};

FlatFaiss::FlatFaiss(int32_t dim, int64_t count, const float* vectors)
    : state_(std::make_unique<State>(dim)) {
  state_->index.add(count, vectors);
}
FlatFaiss::~FlatFaiss() = default;
FlatFaiss::FlatFaiss(FlatFaiss&&) noexcept = default;

void FlatFaiss::Search(const float* queries, int32_t rows, int32_t k, bool blas,
                       std::span<float> scores, std::span<int64_t> labels) const {
  omp_set_num_threads(1);
  if (openblas_set_num_threads != nullptr) openblas_set_num_threads(1);
  const int threshold = faiss::distance_compute_blas_threshold;
  faiss::distance_compute_blas_threshold = blas ? 1 : 20;  // 20 is what FAISS comes with
  state_->index.search(rows, queries, k, scores.data(), labels.data());
  faiss::distance_compute_blas_threshold = threshold;
}

std::string FlatFaiss::BlasCore() {
  return openblas_get_corename != nullptr ? openblas_get_corename() : "";
}

}  // namespace cairn
