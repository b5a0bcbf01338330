#include "bench/recall_bench.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>

#include "base/matmul.h"
#include "base/parallel.h"
#include "bench/search_data.h"
#include "bench/spread_budget.h"
#include "bench/stand_ins.h"

namespace cairn {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

/// Sums of one layer and KV head.
struct Tally {
  double mass = 0, best_mass = 0, recall = 0, chunk_mass = 0, same = 0, kept = 0, second = 0;
  int64_t rows = 0, pairs = 0;
  SpreadBudget spread;

  void Add(const Tally& other) {
    spread.Add(other.spread);
    mass += other.mass;
    best_mass += other.best_mass;
    recall += other.recall;
    chunk_mass += other.chunk_mass;
    same += other.same;
    kept += other.kept;
    second += other.second;
    rows += other.rows;
    pairs += other.pairs;
  }
};

/// The k largest of `weights`, largest first; equal ones by number.
std::vector<int64_t> InOrder(const std::vector<float>& weights, int64_t k) {
  std::vector<int64_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int64_t a, int64_t b) {
    const float x = weights[static_cast<size_t>(a)], y = weights[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  });
  order.resize(static_cast<size_t>(k));
  return order;
}

/// The k largest of `weights`, ascending.
std::vector<int64_t> Largest(const std::vector<float>& weights, int64_t k) {
  std::vector<int64_t> order = InOrder(weights, k);
  std::sort(order.begin(), order.end());
  return order;
}

int64_t Common(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  std::vector<int64_t> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return std::ssize(both);
}

float LseOf(const float* scores, int64_t count) {
  const float top = *std::max_element(scores, scores + count);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += std::exp(scores[i] - top);
  return top + static_cast<float>(std::log(sum));
}

/// Adds max over the group's rows of score − lse to `weights`, as the engine weighs blocks.
void FoldWeights(const float* scores, int32_t group, int64_t blocks, std::vector<float>* weights) {
  for (int32_t g = 0; g < group; ++g) {
    const float* row = scores + g * blocks;
    const float lse = LseOf(row, blocks);
    for (int64_t b = 0; b < blocks; ++b) {
      float& weight = (*weights)[static_cast<size_t>(b)];
      weight = std::max(weight, row[b] - lse);
    }
  }
}

/// Blocks' shares of all, by their scores: the mean of the group's rows.
std::vector<float> SharesOf(const float* scores, int32_t group, int64_t blocks) {
  std::vector<float> shares(static_cast<size_t>(blocks), 0.0f);
  for (int32_t g = 0; g < group; ++g) {
    const float* row = scores + g * blocks;
    const float lse = LseOf(row, blocks);
    for (int64_t b = 0; b < blocks; ++b) {
      shares[static_cast<size_t>(b)] += std::exp(row[b] - lse) / static_cast<float>(group);
    }
  }
  return shares;
}

std::vector<float> Picked(const std::vector<float>& all, const std::vector<int64_t>& order) {
  std::vector<float> picked;
  for (const int64_t i : order) picked.push_back(all[static_cast<size_t>(i)]);
  return picked;
}

double MassOf(const std::vector<int64_t>& chosen, const std::vector<float>& mass) {
  double sum = 0;
  for (const int64_t b : chosen) sum += mass[static_cast<size_t>(b)];
  return sum;
}

/// Everything about one layer, KV head and block size.
class HeadRecall {
 public:
  HeadRecall(const Recording& recording, const RecallBenchOptions& options, size_t layer,
             int32_t head, int32_t block_rows)
      : recording_(recording),
        options_(options),
        layer_(layer),
        head_(head),
        stand_ins_(recording, layer, head, block_rows) {}

  /// tallies[stand-in][budget].
  void Measure(const std::vector<StandIn>& methods, std::vector<std::vector<Tally>>* tallies) {
    int64_t probe_row = 0;
    for (const Probe& probe : recording_.probes) {
      MeasureProbe(probe, probe_row, methods, tallies);
      probe_row += probe.rows;
    }
  }

 private:
  /// Mass of every block for one row, the mean of its query heads.
  std::vector<float> Masses(const float* queries, int64_t blocks) const {
    const int32_t group = recording_.shape.group(), dim = recording_.shape.block.head_dim;
    const int64_t rows = stand_ins_.block_rows();
    const int64_t tokens = blocks * rows;
    std::vector<float> scores(static_cast<size_t>(group * tokens));
    MultiplyTransposed(DType::kF32, queries, stand_ins_.keys(), scores.data(), group, tokens, dim);
    std::vector<float> mass(static_cast<size_t>(blocks), 0.0f);
    for (int32_t g = 0; g < group; ++g) {
      const float* row = scores.data() + g * tokens;
      const float top = *std::max_element(row, row + tokens);
      std::vector<double> sums(static_cast<size_t>(blocks), 0.0);
      double all = 0;
      for (int64_t i = 0; i < tokens; ++i) {
        if (!stand_ins_.counts(i)) continue;
        const double weight = std::exp(row[i] - top);
        sums[static_cast<size_t>(i / rows)] += weight;
        all += weight;
      }
      for (size_t b = 0; b < sums.size(); ++b) {
        mass[b] += static_cast<float>(sums[b] / all / group);
      }
    }
    return mass;
  }

  void MeasureProbe(const Probe& probe, int64_t probe_row, const std::vector<StandIn>& methods,
                    std::vector<std::vector<Tally>>* tallies) const {
    const int32_t group = recording_.shape.group(), dim = recording_.shape.block.head_dim;
    const int64_t blocks = probe.first_row / stand_ins_.block_rows();
    if (blocks < 1) return;
    std::vector<float> queries(static_cast<size_t>(probe.rows * group * dim));
    for (int64_t r = 0; r < probe.rows; ++r) {
      FarQueries(recording_, layer_, probe_row + r, head_, queries.data() + r * group * dim);
    }
    std::vector<int64_t> rows;
    for (int32_t i = 0; i < options_.sampled_rows / 2; ++i) {
      const int64_t row = probe.rows * int64_t{i} / (options_.sampled_rows / 2);
      if (row + 1 < probe.rows) rows.insert(rows.end(), {row, row + 1});
    }
    std::vector<std::vector<float>> masses;
    for (const int64_t row : rows) masses.push_back(Masses(&queries[row * group * dim], blocks));
    for (size_t m = 0; m < methods.size(); ++m) {
      const std::vector<float> scores =
          stand_ins_.Scores(methods[m], queries.data(), probe.rows * group, blocks);
      std::vector<float> shared(static_cast<size_t>(blocks), kNone);
      FoldWeights(scores.data(), static_cast<int32_t>(probe.rows) * group, blocks, &shared);
      for (size_t b = 0; b < options_.budgets.size(); ++b) {
        const int64_t k = options_.budgets[b] / stand_ins_.block_rows();
        if (k < 1 || blocks <= k) continue;
        const std::vector<int64_t> together = Largest(shared, k);
        Tally& tally = (*tallies)[m][b];
        std::vector<int64_t> before;
        for (size_t i = 0; i < rows.size(); ++i) {
          std::vector<float> weights(static_cast<size_t>(blocks), kNone);
          FoldWeights(scores.data() + rows[i] * group * blocks, group, blocks, &weights);
          const std::vector<int64_t> chosen = Largest(weights, k);
          const std::vector<int64_t> best = Largest(masses[i], k);
          tally.mass += MassOf(chosen, masses[i]);
          tally.best_mass += MassOf(best, masses[i]);
          tally.chunk_mass += MassOf(together, masses[i]);
          tally.recall += static_cast<double>(Common(chosen, best)) / static_cast<double>(k);
          ++tally.rows;
          AddToSpread(scores.data() + rows[i] * group * blocks, masses[i], &tally.spread);
          if (i % 2 == 1) {
            tally.same += static_cast<double>(Common(chosen, before)) / static_cast<double>(k);
            tally.kept += MassOf(before, masses[i]);
            tally.second += MassOf(chosen, masses[i]);
            ++tally.pairs;
          }
          before = chosen;
        }
      }
    }
  }

  void AddToSpread(const float* scores, const std::vector<float>& masses,
                   SpreadBudget* spread) const {
    const int32_t group = recording_.shape.group();
    const int64_t blocks = std::ssize(masses);
    std::vector<float> weights(masses.size(), kNone);
    FoldWeights(scores, group, blocks, &weights);
    const auto order = InOrder(weights, std::min(blocks, SpreadBudget::kMost));
    spread->Add(Picked(SharesOf(scores, group, blocks), order), Picked(masses, order));
  }

  const Recording& recording_;
  const RecallBenchOptions& options_;
  const size_t layer_;
  const int32_t head_;
  const StandIns stand_ins_;
};

std::vector<StandIn> Methods(const Recording& recording) {
  std::vector<StandIn> methods{StandIn::kMean, StandIn::kSubMeans, StandIn::kVariance,
                               StandIn::kBounds};
  if (recording.shape.mode == AttentionMode::kLandmark) methods.push_back(StandIn::kLandmark);
  return methods;
}

RecallRow RowOf(const std::vector<Tally>& layers, int32_t block_rows, StandIn method,
                int32_t budget) {
  Tally all;
  RecallRow row;
  row.worst_layer = 1;
  for (const Tally& layer : layers) {
    all.Add(layer);
    if (layer.rows > 0) row.worst_layer = std::min(row.worst_layer, layer.mass / layer.best_mass);
  }
  const auto rows = static_cast<double>(all.rows);
  const auto pairs = static_cast<double>(all.pairs);
  row.block_rows = block_rows;
  row.stand_in = method;
  row.floats = StandIns::Floats(method, block_rows);
  row.budget = budget;
  row.k = budget / block_rows;
  row.mass = all.mass / rows;
  row.best_mass = all.best_mass / rows;
  row.recall = all.recall / rows;
  row.chunk_mass = all.chunk_mass / rows;
  row.same_as_next = all.same / pairs;
  row.mass_if_kept = all.kept / all.second;
  const SpreadBudget::Spread found = all.spread.Over(row.k);
  row.spread_mass = found.mass;
  row.spread_target = found.target;
  return row;
}

}  // namespace

Result<std::vector<RecallRow>> RunRecallBench(const Recording& recording,
                                              const RecallBenchOptions& options) {
  const std::vector<StandIn> methods = Methods(recording);
  const size_t layers = recording.layers.size();
  const auto heads = static_cast<size_t>(recording.shape.kv_heads);
  std::vector<int32_t> sizes = options.block_rows;
  if (recording.shape.mode == AttentionMode::kLandmark) sizes = {recording.shape.block.block_rows};
  std::vector<RecallRow> report;
  for (const int32_t block_rows : sizes) {
    // [layer and head][method][budget]
    std::vector<std::vector<std::vector<Tally>>> tallies(
        layers * heads, std::vector<std::vector<Tally>>(
                            methods.size(), std::vector<Tally>(options.budgets.size())));
    ParallelFor(static_cast<int64_t>(layers * heads), [&](int64_t task) {
      const auto at = static_cast<size_t>(task);
      HeadRecall head(recording, options, at / heads, static_cast<int32_t>(at % heads), block_rows);
      head.Measure(methods, &tallies[at]);
    });
    for (size_t m = 0; m < methods.size(); ++m) {
      for (size_t b = 0; b < options.budgets.size(); ++b) {
        std::vector<Tally> by_layer(layers);
        for (size_t i = 0; i < tallies.size(); ++i) by_layer[i / heads].Add(tallies[i][m][b]);
        const bool any = std::ranges::any_of(by_layer, [](const Tally& t) { return t.rows > 0; });
        if (!any) continue;
        report.push_back(RowOf(by_layer, block_rows, methods[m], options.budgets[b]));
      }
    }
  }
  if (!report.empty()) return report;
  return Fail(Errc::kInvalidArgument,
              "{} rows are too few for budgets of {} tokens and more; read more with --tokens",
              recording.rows, *std::min_element(options.budgets.begin(), options.budgets.end()));
}

}  // namespace cairn
