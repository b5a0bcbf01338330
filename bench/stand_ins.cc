#include "bench/stand_ins.h"

#include <algorithm>
#include <cmath>

#include "base/matmul.h"
#include "kernels/rope.h"

namespace cairn {
namespace {

constexpr int32_t kSubRows = 16;

int32_t SubMeans(int32_t block_rows) { return std::max(1, block_rows / kSubRows); }

/// Queries [rows, D] as [rows, 2D].
std::vector<float> Doubled(StandIn method, const float* queries, int64_t rows, int64_t dim) {
  std::vector<float> doubled(static_cast<size_t>(2 * rows * dim));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t d = 0; d < dim; ++d) {
      const float q = queries[r * dim + d];
      float* to = doubled.data() + 2 * r * dim + d;
      to[0] = method == StandIn::kBounds ? std::max(q, 0.0f) : q;
      to[dim] = method == StandIn::kBounds ? std::min(q, 0.0f) : q * q;
    }
  }
  return doubled;
}

}  // namespace

std::string_view StandInName(StandIn stand_in) {
  switch (stand_in) {
    case StandIn::kMean:
      return "mean";
    case StandIn::kSubMeans:
      return "sub-means";
    case StandIn::kVariance:
      return "mean and variance";
    case StandIn::kBounds:
      return "bounds";
    case StandIn::kLandmark:
      return "landmark";
  }
  return "unknown";
}

int32_t StandIns::Floats(StandIn method, int32_t block_rows) {
  if (method == StandIn::kSubMeans) return SubMeans(block_rows);
  return method == StandIn::kVariance || method == StandIn::kBounds ? 2 : 1;
}

StandIns::StandIns(const Recording& recording, size_t layer, int32_t head, int32_t block_rows)
    : block_rows_(block_rows),
      dim_(recording.shape.block.head_dim),
      landmark_(recording.shape.mode == AttentionMode::kLandmark) {
  const int64_t blocks = recording.rows / block_rows;
  const int64_t dim = dim_;
  RopeTable table(recording.shape.rope_style, recording.shape.inverse_frequencies);
  table.Reserve(block_rows);
  keys_.resize(static_cast<size_t>(blocks * block_rows * dim));
  for (int64_t row = 0; row < blocks * block_rows; ++row) {
    float* key = keys_.data() + row * dim;
    recording.Key(layer, row, head, key);
    table.Rotate(static_cast<int32_t>(row % block_rows), key, key);
  }
  const int32_t tokens = block_rows - (landmark_ ? 1 : 0);
  const int32_t subs = SubMeans(block_rows);
  means_.resize(static_cast<size_t>(blocks * dim));
  sub_means_.resize(static_cast<size_t>(blocks * subs * dim));
  spread_.resize(static_cast<size_t>(2 * blocks * dim));
  bounds_.resize(static_cast<size_t>(2 * blocks * dim));
  for (int64_t b = 0; b < blocks; ++b) {
    for (int64_t d = 0; d < dim; ++d) {
      double sum = 0, squares = 0;
      float least = keys_[static_cast<size_t>(b * block_rows * dim + d)], most = least;
      std::vector<double> parts(static_cast<size_t>(subs)), counts(static_cast<size_t>(subs));
      for (int32_t i = 0; i < tokens; ++i) {
        const float key = keys_[static_cast<size_t>((b * block_rows + i) * dim + d)];
        sum += key;
        squares += double{key} * key;
        least = std::min(least, key);
        most = std::max(most, key);
        const auto sub = static_cast<size_t>(i * subs / block_rows);
        parts[sub] += key;
        counts[sub] += 1;
      }
      const double mean = sum / tokens;
      means_[static_cast<size_t>(b * dim + d)] = static_cast<float>(mean);
      for (int32_t s = 0; s < subs; ++s) {
        sub_means_[static_cast<size_t>((b * subs + s) * dim + d)] =
            static_cast<float>(parts[static_cast<size_t>(s)] / counts[static_cast<size_t>(s)]);
      }
      float* spread = spread_.data() + 2 * b * dim + d;
      spread[0] = static_cast<float>(mean);
      spread[dim] = static_cast<float>(0.5 * std::max(0.0, squares / tokens - mean * mean));
      bounds_[static_cast<size_t>(2 * b * dim + d)] = most;
      bounds_[static_cast<size_t>((2 * b + 1) * dim + d)] = least;
    }
    if (landmark_) {
      const auto last = keys_.begin() + ((b + 1) * block_rows - 1) * dim;
      landmarks_.insert(landmarks_.end(), last, last + dim);
    }
  }
}

std::vector<float> StandIns::Products(const std::vector<float>& vectors, const float* queries,
                                      int64_t rows, int64_t count, int64_t dim) const {
  std::vector<float> scores(static_cast<size_t>(rows * count));
  MultiplyTransposed(DType::kF32, queries, vectors.data(), scores.data(), rows, count, dim);
  return scores;
}

std::vector<float> StandIns::Scores(StandIn method, const float* queries, int64_t rows,
                                    int64_t blocks) const {
  switch (method) {
    case StandIn::kMean:
      return Products(means_, queries, rows, blocks, dim_);
    case StandIn::kLandmark:
      return Products(landmarks_, queries, rows, blocks, dim_);
    case StandIn::kVariance:
    case StandIn::kBounds: {
      const std::vector<float> doubled = Doubled(method, queries, rows, dim_);
      return Products(method == StandIn::kBounds ? bounds_ : spread_, doubled.data(), rows, blocks,
                      2 * int64_t{dim_});
    }
    case StandIn::kSubMeans:
      break;
  }
  const int32_t subs = SubMeans(block_rows_);
  const std::vector<float> parts = Products(sub_means_, queries, rows, blocks * subs, dim_);
  std::vector<float> scores(static_cast<size_t>(rows * blocks));
  for (size_t i = 0; i < scores.size(); ++i) {
    const auto first = parts.begin() + static_cast<int64_t>(i) * subs;
    scores[i] = *std::max_element(first, first + subs);
  }
  return scores;
}

}  // namespace cairn
