#include "bench/search_data.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/rope.h"

namespace cairn {
namespace {

constexpr int32_t kFarBlocks = 9;  // a query stands behind 8 chosen blocks and a gap
constexpr int32_t kDirections = 12;

RopeTable Table(const Recording& recording) {
  RopeTable table(recording.shape.rope_style, recording.shape.inverse_frequencies);
  table.Reserve((kFarBlocks + 2) * recording.shape.block.block_rows + 256);
  return table;
}

/// Deviation of every dimension.
std::vector<float> Deviations(const std::vector<float>& vectors, int64_t count, int32_t dim) {
  std::vector<double> sum(static_cast<size_t>(dim)), squares(static_cast<size_t>(dim));
  for (int64_t i = 0; i < count; ++i) {
    for (int32_t d = 0; d < dim; ++d) {
      const double x = vectors[static_cast<size_t>(i * dim + d)];
      sum[static_cast<size_t>(d)] += x;
      squares[static_cast<size_t>(d)] += x * x;
    }
  }
  std::vector<float> deviations;
  for (size_t d = 0; d < sum.size(); ++d) {
    const double mean = sum[d] / static_cast<double>(count);
    deviations.push_back(static_cast<float>(
        std::sqrt(std::max(0.0, squares[d] / static_cast<double>(count) - mean * mean))));
  }
  return deviations;
}

}  // namespace

SearchData DrawSearchData(int64_t count, int32_t dim, int32_t rows, int32_t groups, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  const auto draw = [&](size_t n) {
    std::vector<float> numbers(n);
    for (float& x : numbers) x = normal(random);
    return numbers;
  };
  SearchData data{.dim = dim, .rows = rows, .recorded = 0, .vectors = {}, .queries = {}};
  const std::vector<float> mean = draw(static_cast<size_t>(dim));
  const std::vector<float> directions = draw(static_cast<size_t>(kDirections * dim));
  std::vector<float> place = draw(kDirections);
  data.vectors.resize(static_cast<size_t>(count * dim));
  for (int64_t i = 0; i < count; ++i) {
    for (float& x : place) x = 0.8f * x + 0.6f * normal(random);
    for (int32_t d = 0; d < dim; ++d) {
      float value = mean[static_cast<size_t>(d)] + 0.6f * normal(random);
      for (int32_t j = 0; j < kDirections; ++j) {
        value +=
            0.4f * place[static_cast<size_t>(j)] * directions[static_cast<size_t>(j * dim + d)];
      }
      data.vectors[static_cast<size_t>(i * dim + d)] = value;
    }
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  for (int32_t g = 0; g < groups; ++g) {
    const int64_t near = std::uniform_int_distribution<int64_t>(0, count - 1)(random);
    std::vector<float> group;
    for (int32_t r = 0; r < rows; ++r) {
      for (int32_t d = 0; d < dim; ++d) {
        group.push_back(
            scale * (data.vectors[static_cast<size_t>(near * dim + d)] + 0.7f * normal(random)));
      }
    }
    data.queries.push_back(std::move(group));
  }
  return data;
}

void FarQueries(const Recording& recording, size_t layer, int64_t probe_row, int32_t head,
                float* queries) {
  const SessionShape& shape = recording.shape;
  const RopeTable table = Table(recording);
  const int32_t dim = shape.block.head_dim;
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  int64_t within = probe_row;  // row of its step
  for (const Probe& probe : recording.probes) {
    if (within < probe.rows) break;
    within -= probe.rows;
  }
  const int32_t distance =
      kFarBlocks * shape.block.block_rows + static_cast<int32_t>(std::min<int64_t>(within, 255));
  for (int32_t g = 0; g < shape.group(); ++g) {
    const int64_t at = (probe_row * shape.query_heads + head * shape.group() + g) * dim;
    table.Rotate(distance, recording.queries[layer].data() + at, queries + g * dim);
    for (int32_t d = 0; d < dim; ++d) queries[g * dim + d] *= scale;
  }
}

Result<SearchData> RecordedSearchData(const Recording& recording, size_t layer, int32_t head,
                                      int64_t count, int32_t dim, int32_t groups) {
  const SessionShape& shape = recording.shape;
  const int32_t own = shape.block.head_dim;
  if (dim != own && dim != 2 * own) {
    return Fail(Errc::kInvalidArgument, "the recording has dimension {}; measure that or {}", own,
                2 * own);
  }
  if (recording.probes.empty()) {
    return Fail(Errc::kInvalidArgument, "the recording has no queries; record a longer text");
  }
  const int32_t heads = dim / own;
  const int32_t rows = shape.group();
  SearchData data{.dim = dim,
                  .rows = rows,
                  .recorded = std::min(count, recording.rows),
                  .vectors = {},
                  .queries = {}};
  data.vectors.resize(static_cast<size_t>(count * dim));
  const RopeTable table = Table(recording);
  for (int64_t i = 0; i < data.recorded; ++i) {
    for (int32_t h = 0; h < heads; ++h) {
      float* to = data.vectors.data() + i * dim + h * own;
      recording.Key(layer, i, (head + h) % shape.kv_heads, to);
      table.Rotate(static_cast<int32_t>(i % shape.block.block_rows), to, to);
    }
  }
  const std::vector<float> deviations = Deviations(data.vectors, data.recorded, dim);
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal(0.0f, 0.01f);
  for (int64_t i = data.recorded; i < count; ++i) {
    for (int32_t d = 0; d < dim; ++d) {
      data.vectors[static_cast<size_t>(i * dim + d)] =
          data.vectors[static_cast<size_t>((i - data.recorded) * dim + d)] +
          normal(random) * deviations[static_cast<size_t>(d)];
    }
  }
  std::vector<float> one(static_cast<size_t>(rows * own));
  const int64_t last = recording.probes.back().rows;
  for (int32_t g = 0; g < groups; ++g) {
    const int64_t row = recording.probe_rows() - 1 - (g * last) / groups;
    std::vector<float> group(static_cast<size_t>(rows * dim));
    for (int32_t h = 0; h < heads; ++h) {
      FarQueries(recording, layer, row, (head + h) % shape.kv_heads, one.data());
      for (int32_t r = 0; r < rows; ++r) {
        std::copy_n(one.data() + r * own, own, group.data() + r * dim + h * own);
      }
    }
    data.queries.push_back(std::move(group));
  }
  return data;
}

}  // namespace cairn
