#include "kernels/transformer.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"

namespace cairn {
namespace {

void Store(float value, DType type, std::byte* y, int64_t index) {
  ConvertFromFloat(type, &value, y + index * static_cast<int64_t>(DTypeBytes(type)), 1);
}

void CheckType(DType type) { CAIRN_CHECK(type == DType::kF32 || type == DType::kBF16); }

}  // namespace

void RmsNorm(const float* x, const float* weight, float epsilon, int64_t rows, int64_t n,
             DType type, std::byte* y) {
  CheckType(type);
  for (int64_t row = 0; row < rows; ++row) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += double{x[row * n + i]} * x[row * n + i];
    const auto mean = static_cast<float>(sum / static_cast<double>(n));
    const float factor = 1.0f / std::sqrt(mean + epsilon);
    for (int64_t i = 0; i < n; ++i) {
      Store(x[row * n + i] * factor * weight[i], type, y, row * n + i);
    }
  }
}

void FinishHeads(const HeadWeights& weights, const HeadCounts& heads, int64_t rows, float* qkv) {
  const int64_t width = int64_t{heads.total()} * heads.head_dim;
  for (int64_t row = 0; row < rows; ++row, qkv += width) {
    if (weights.bias != nullptr) AddRows(qkv, weights.bias, width, nullptr);
    const auto norm = [&](const float* weight, int64_t first, int64_t count) {
      if (weight == nullptr) return;
      const std::vector<float> before(qkv + first * heads.head_dim,
                                      qkv + (first + count) * heads.head_dim);
      RmsNorm(before.data(), weight, weights.epsilon, count, heads.head_dim, DType::kF32,
              reinterpret_cast<std::byte*>(qkv + first * heads.head_dim));
    };
    norm(weights.query_norm, 0, heads.query_heads);
    norm(weights.key_norm, heads.query_heads, heads.kv_heads);
  }
}

void AddRows(float* x, const float* y, int64_t count, const int32_t* stopped) {
  if (stopped != nullptr && *stopped != 0) return;
  for (int64_t i = 0; i < count; ++i) x[i] += y[i];
}

void SwiGlu(const float* gate_up, int64_t rows, int64_t ffn, DType type, std::byte* y) {
  CheckType(type);
  for (int64_t row = 0; row < rows; ++row) {
    const float* gates = gate_up + row * 2 * ffn;
    const float* ups = gates + ffn;
    for (int64_t i = 0; i < ffn; ++i) {
      const float silu = gates[i] / (1.0f + std::exp(-gates[i]));
      Store(silu * ups[i], type, y, row * ffn + i);
    }
  }
}

void ConvertFloats(const float* x, int64_t count, DType type, std::byte* y) {
  CheckType(type);
  for (int64_t i = 0; i < count; ++i) Store(x[i], type, y, i);
}

void Greedy(const float* logits, int64_t rows, int64_t vocab, int32_t* ids) {
  CAIRN_CHECK(vocab >= 1);
  for (int64_t row = 0; row < rows; ++row) {
    const float* first = logits + row * vocab;
    ids[row] = static_cast<int32_t>(std::max_element(first, first + vocab) - first);
  }
}

}  // namespace cairn
