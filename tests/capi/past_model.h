// A model of random numbers for tests of pasts: its options, its rows, and the attention that it
// would compute itself.
#pragma once

#include <cairn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace cairn::test {

/// Queries, keys and values of a layer: [rows, heads, D].
struct LayerRows {
  std::vector<float> q, k, v;
};

struct PastModel {
  static constexpr int kLayers = 2, kQueryHeads = 4, kKvHeads = 2, kDim = 8, kChunk = 32;
  static constexpr int kQueryRow = kQueryHeads * kDim, kKvRow = kKvHeads * kDim;
  bool interleaved = false;
  float scale = 0.35355339f;
  std::vector<double> frequencies{1.0, 0.3, 0.1, 0.01};
  std::vector<LayerRows> layers;

  PastModel(int rows, unsigned seed) : layers(kLayers) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (LayerRows& layer : layers) {
      layer.q.resize(static_cast<size_t>(rows) * kQueryRow);
      layer.k.resize(static_cast<size_t>(rows) * kKvRow);
      layer.v.resize(layer.k.size());
      for (auto* all : {&layer.q, &layer.k, &layer.v}) {
        for (float& x : *all) x = normal(random);
      }
    }
  }

  /// `x` rotated as for `position`, in double.
  std::vector<double> Rotated(const float* x, int position) const {
    std::vector<double> y(x, x + kDim);
    for (int c = 0; c < kDim / 2; ++c) {
      const int a = interleaved ? 2 * c : c;
      const int b = interleaved ? 2 * c + 1 : c + kDim / 2;
      const double angle = position * frequencies[static_cast<size_t>(c)];
      y[static_cast<size_t>(a)] = x[a] * std::cos(angle) - x[b] * std::sin(angle);
      y[static_cast<size_t>(b)] = x[a] * std::sin(angle) + x[b] * std::cos(angle);
    }
    return y;
  }

  /// Causal attention of row `row` and query head `head` over all rows up to it.
  std::vector<double> Dense(int layer, int row, int head) const {
    const LayerRows& all = layers[static_cast<size_t>(layer)];
    const int kv_head = head / (kQueryHeads / kKvHeads);
    const auto q = Rotated(all.q.data() + row * kQueryRow + head * kDim, row);
    std::vector<double> o(kDim);
    double sum = 0;
    for (int past = 0; past <= row; ++past) {
      const auto k = Rotated(all.k.data() + past * kKvRow + kv_head * kDim, past);
      double score = 0;
      for (size_t c = 0; c < kDim; ++c) score += q[c] * k[c];
      const double weight = std::exp(score * static_cast<double>(scale));
      sum += weight;
      const float* v = all.v.data() + past * kKvRow + kv_head * kDim;
      for (size_t c = 0; c < kDim; ++c) o[c] += weight * static_cast<double>(v[c]);
    }
    for (double& x : o) x /= sum;
    return o;
  }

  /// Feeds rows [first, end) in steps of at most `chunk`; appends what comes out to `o`, by layer.
  cairn_status Feed(cairn_past* past, int first, int end, std::vector<std::vector<float>>* o,
                    int chunk = kChunk) const {
    o->resize(kLayers);
    for (int row = first; row < end; row += chunk) {
      const int rows = std::min(chunk, end - row);
      cairn_status status = cairn_past_begin(past, static_cast<uint32_t>(rows));
      for (int layer = 0; layer < kLayers && status == CAIRN_OK; ++layer) {
        const LayerRows& all = layers[static_cast<size_t>(layer)];
        auto& out = (*o)[static_cast<size_t>(layer)];
        out.resize(out.size() + static_cast<size_t>(rows) * kQueryRow);
        status =
            cairn_past_attend(past, static_cast<uint32_t>(layer), all.q.data() + row * kQueryRow,
                              all.k.data() + row * kKvRow, all.v.data() + row * kKvRow,
                              out.data() + out.size() - static_cast<size_t>(rows) * kQueryRow);
      }
      std::vector<uint32_t> tokens(static_cast<size_t>(rows), static_cast<uint32_t>(row));
      if (status == CAIRN_OK) status = cairn_past_end(past, tokens.data(), tokens.size());
      if (status != CAIRN_OK) return status;
    }
    return CAIRN_OK;
  }
};

}  // namespace cairn::test
