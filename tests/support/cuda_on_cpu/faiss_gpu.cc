// Stands in for FAISS on a GPU (index/faiss_gpu.h), on the streams and the memory of this folder.
// It keeps what the contract leaves open as unlike the host as it may be: scores are off by as much
// as f16 and TF32 may make them, and of equal ones the last comes first.
#include "index/faiss_gpu.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "tests/support/cuda_on_cpu/cuda_runtime.h"
#include "tests/support/cuda_on_cpu/fiber_switch.h"

namespace cairn {
namespace {

void Read(DType type, const std::byte* from, size_t count, std::vector<float>* numbers) {
  numbers->resize(count);
  ConvertToFloat(type, from, numbers->data(), count);
}

double Norm(const float* numbers, int32_t dim) {
  double sum = 0;
  for (int32_t i = 0; i < dim; ++i) sum += static_cast<double>(numbers[i]) * numbers[i];
  return std::sqrt(sum);
}

// Between -1 and 1.
float Noise(int64_t query, int64_t vector) {
  const auto mixed = static_cast<uint32_t>(query * 7919 + vector) * 2654435761u;
  return static_cast<float>(mixed >> 8) / (1 << 23) - 1;
}

void See(const FlatSearch& search) {
  const cuda_on_cpu::Seen seen;
  const size_t row = static_cast<size_t>(search.dim) * DTypeBytes(search.type);
  const auto found = static_cast<size_t>(search.rows) * static_cast<size_t>(search.k);
  cuda_on_cpu::SeeRead(search.vectors, static_cast<size_t>(search.count) * row);
  cuda_on_cpu::SeeRead(search.queries, static_cast<size_t>(search.rows) * row);
  cuda_on_cpu::SeeWrite(search.labels, found * sizeof(*search.labels));
  cuda_on_cpu::SeeWrite(search.scores, found * sizeof(*search.scores));
}

bool Run(const FlatSearch& search) {
  See(search);
  const auto dim = static_cast<size_t>(search.dim);
  std::vector<float> vectors, query, scores(static_cast<size_t>(search.count));
  Read(search.type, search.vectors, static_cast<size_t>(search.count) * dim, &vectors);
  std::vector<double> norms;
  for (int64_t v = 0; v < search.count; ++v) {
    norms.push_back(Norm(vectors.data() + v * search.dim, search.dim));
  }
  std::vector<int32_t> order(scores.size());
  for (int64_t row = 0; row < search.rows; ++row) {
    Read(search.type, search.queries + static_cast<size_t>(row) * dim * DTypeBytes(search.type),
         dim, &query);
    const double norm = Norm(query.data(), search.dim);
    for (int64_t v = 0; v < search.count; ++v) {
      // All are added up, as a product of matrices does: zeros times what is no number is none.
      const float sum =
          std::inner_product(query.begin(), query.end(), vectors.begin() + v * search.dim, 0.0f);
      if (!std::isfinite(sum)) return false;
      const auto off = static_cast<float>(std::ldexp(norm * norms[static_cast<size_t>(v)], -10));
      scores[static_cast<size_t>(v)] = sum + off * Noise(row, v);
    }
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + search.k, order.end(),
                      [&](int32_t a, int32_t b) {
                        const float left = scores[static_cast<size_t>(a)];
                        const float right = scores[static_cast<size_t>(b)];
                        return left > right || (left == right && a > b);
                      });
    for (int32_t i = 0; i < search.k; ++i) {
      search.labels[row * search.k + i] = order[static_cast<size_t>(i)];
      search.scores[row * search.k + i] =
          scores[static_cast<size_t>(order[static_cast<size_t>(i)])];
    }
  }
  return true;
}

}  // namespace

struct FaissGpu::State {
  CUstream_st* stream;
};

FaissGpu::FaissGpu(std::unique_ptr<State> state) : state_(std::move(state)) {}
FaissGpu::~FaissGpu() = default;

Result<std::unique_ptr<FaissGpu>> FaissGpu::Make(Device&, CUstream_st* stream) {
  return std::unique_ptr<FaissGpu>(new FaissGpu(std::make_unique<State>(State{stream})));
}

Status FaissGpu::Search(const FlatSearch& search) {
  CAIRN_CHECK(search.k >= 1 && search.k <= FlatSearch::kMost && search.k <= search.count);
  CAIRN_CHECK(search.rows >= 1 && search.dim >= 1);
  if (cuda_on_cpu::PutLaunch(state_->stream, [search] { return Run(search); }) != cudaSuccess) {
    return Fail(Errc::kResource, "FAISS on the GPU: an error that was asked for");
  }
  return Ok();
}

Status CheckFaissGpu() { return Ok(); }

std::string FaissGpuKind() { return "on a CPU"; }

}  // namespace cairn
