#include "tests/engine/session_problem.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/step_attention.h"
#include "tests/support/random.h"

namespace cairn::test {
namespace {

double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// Weights exp(s - max) / sum of the scores listed by `which`; 0 elsewhere.
std::vector<double> SoftmaxOver(const std::vector<double>& scores,
                                const std::vector<size_t>& which) {
  std::vector<double> weights(scores.size(), 0.0);
  double highest = -INFINITY, sum = 0;
  for (const size_t i : which) highest = std::max(highest, scores[i]);
  for (const size_t i : which) sum += std::exp(scores[i] - highest);
  for (const size_t i : which) weights[i] = std::exp(scores[i] - highest) / sum;
  return weights;
}

/// The weight of every key's value, by section 2 of the specification.
std::vector<double> GroupedWeights(const std::vector<double>& scores,
                                   const std::vector<bool>& landmark) {
  size_t own = 0;
  for (size_t i = 0; i + 1 < scores.size(); ++i) own = landmark[i] ? i + 1 : own;
  std::vector<size_t> first;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (landmark[i] == (i < own)) first.push_back(i);
  }
  const std::vector<double> gates = SoftmaxOver(scores, first);
  std::vector<double> weights(scores.size(), 0.0);
  for (size_t i = own; i < scores.size(); ++i) weights[i] = landmark[i] ? 0 : gates[i];
  std::vector<size_t> block;
  for (size_t i = 0; i < own; ++i) {
    if (!landmark[i]) {
      block.push_back(i);
      continue;
    }
    const std::vector<double> inside = SoftmaxOver(scores, block);
    for (const size_t j : block) weights[j] = gates[i] * inside[j];
    block.clear();
  }
  return weights;
}

}  // namespace

SessionShape MakeShape(AttentionMode mode, int32_t layers, int32_t query_heads, int32_t kv_heads,
                       BlockShape block) {
  SessionShape shape;
  shape.layers = layers;
  shape.query_heads = query_heads;
  shape.kv_heads = kv_heads;
  shape.block = block;
  shape.mode = mode;
  shape.context_rows = 4096;
  shape.inverse_frequencies = RopeTable::InverseFrequencies(10000.0, block.head_dim);
  return shape;
}

Problem::Problem(const SessionShape& problem_shape, int64_t problem_rows, uint64_t stream)
    : shape(problem_shape), rows(problem_rows) {
  TestRandom random(stream);
  const auto count = static_cast<size_t>(shape.layers * rows);
  q = random.Normals(count * static_cast<size_t>(q_width()), 1.5f);
  k = random.Normals(count * static_cast<size_t>(kv_width()), 1.5f);
  v = random.Normals(count * static_cast<size_t>(kv_width()));
}

namespace {

Status RunStepOf(Session& session, const Problem& problem, int32_t rows,
                 const std::vector<uint32_t>& tokens, Trace* trace) {
  const int64_t first = session.rows();
  CAIRN_TRY(session.BeginStep(rows));
  std::vector<Choice> choices;
  for (int32_t layer = 0; layer < problem.shape.layers; ++layer) {
    float* o = trace->o.data() + (layer * problem.rows + first) * problem.q_width();
    const Status done = session.Attend(layer, problem.Q(layer, first), problem.K(layer, first),
                                       problem.V(layer, first), o);
    if (!done.has_value()) {
      session.AbortStep();
      return done.as_failure();
    }
    choices.push_back(session.last_choice());
  }
  const Status ended = session.EndStep();
  if (!ended.has_value()) {
    session.AbortStep();
    return ended.as_failure();
  }
  session.AddTokens(tokens);
  trace->choices.push_back(std::move(choices));
  return Ok();
}

/// Numbers of rows [first, first + rows), without those of landmarks if `only_tokens`.
std::vector<uint32_t> TokensOf(const Problem& problem, int64_t first, int32_t rows,
                               bool only_tokens) {
  std::vector<uint32_t> tokens;
  for (int64_t row = first; row < first + rows; ++row) {
    if (!only_tokens || !problem.IsLandmark(row)) tokens.push_back(static_cast<uint32_t>(row));
  }
  return tokens;
}

}  // namespace

Status RunStep(Session& session, const Problem& problem, int32_t rows, Trace* trace) {
  return RunStepOf(session, problem, rows, TokensOf(problem, session.rows(), rows, false), trace);
}

Status ReadSteps(Session& session, const Problem& problem, int64_t end, int32_t chunk) {
  Trace ignored(problem);
  while (session.rows() < end) {
    const auto rows = static_cast<int32_t>(std::min<int64_t>(chunk, end - session.rows()));
    const auto tokens = TokensOf(problem, session.rows(), rows, true);
    CAIRN_TRY(RunStepOf(session, problem, rows, tokens, &ignored));
  }
  return Ok();
}

Status RunSteps(Session& session, const Problem& problem, int64_t end, int32_t chunk,
                Trace* trace) {
  while (session.rows() < end) {
    const auto rows = static_cast<int32_t>(std::min<int64_t>(chunk, end - session.rows()));
    CAIRN_TRY(RunStep(session, problem, rows, trace));
  }
  return Ok();
}

std::vector<double> RotateOracle(const SessionShape& shape, const float* x, int64_t position) {
  const int32_t half = shape.block.head_dim / 2;
  std::vector<double> y(static_cast<size_t>(shape.block.head_dim));
  for (int32_t c = 0; c < half; ++c) {
    const bool split = shape.rope_style == RopeStyle::kHalfSplit;
    const int32_t a = split ? c : 2 * c, b = split ? c + half : 2 * c + 1;
    const double angle = static_cast<double>(position) * shape.inverse_frequencies[c];
    y[a] = x[a] * std::cos(angle) - x[b] * std::sin(angle);
    y[b] = x[a] * std::sin(angle) + x[b] * std::cos(angle);
  }
  return y;
}

std::vector<double> AttendRowOracle(const Problem& problem, int32_t layer, int32_t query_head,
                                    const std::vector<SeenKey>& keys) {
  const SessionShape& shape = problem.shape;
  const int32_t dim = shape.block.head_dim;
  const int64_t kv_offset = static_cast<int64_t>(query_head / shape.group()) * dim;
  const std::vector<double> q = RotateOracle(
      shape, problem.Q(layer, keys.back().row) + query_head * dim, keys.back().position);
  const double scale = shape.scale > 0 ? shape.scale : 1.0 / std::sqrt(dim);
  std::vector<double> scores;
  std::vector<bool> landmark;
  std::vector<size_t> all;
  for (const SeenKey& key : keys) {
    all.push_back(scores.size());
    landmark.push_back(problem.IsLandmark(key.row));
    scores.push_back(
        Dot(q, RotateOracle(shape, problem.K(layer, key.row) + kv_offset, key.position)) * scale);
  }
  const std::vector<double> weights = shape.mode == AttentionMode::kLandmark
                                          ? GroupedWeights(scores, landmark)
                                          : SoftmaxOver(scores, all);
  std::vector<double> o(static_cast<size_t>(dim), 0.0);
  for (size_t i = 0; i < keys.size(); ++i) {
    const float* v = problem.V(layer, keys[i].row) + kv_offset;
    for (int32_t c = 0; c < dim; ++c) o[c] += weights[i] * v[c];
  }
  return o;
}

void AddBlockKeys(const SessionShape& shape, int64_t block, int64_t slot,
                  std::vector<SeenKey>* keys) {
  for (int32_t t = 0; t < shape.block.block_rows; ++t) {
    keys->push_back({block * shape.block.block_rows + t, slot * shape.block.block_rows + t});
  }
}

std::vector<SeenKey> SeenByRow(const SessionShape& shape, const SessionOptions& options,
                               std::span<const int64_t> chosen, int64_t first, int64_t row,
                               int64_t room) {
  const int64_t b = shape.block.block_rows, n = first / b, k = std::ssize(chosen);
  std::vector<SeenKey> keys;
  const int64_t placed = std::min(k, room), crowd = k - placed;
  int64_t slot = 0;
  if (shape.mode == AttentionMode::kLandmark) {  // spec, section 4
    for (int64_t j = 0; j < k; ++j) {
      const int64_t near = chosen[j] >= n - placed ? 1 : 0;
      AddBlockKeys(shape, chosen[j], std::max<int64_t>(0, j - crowd) + near, &keys);
    }
    slot = placed + 1;
  } else {
    const int64_t recent_rows = std::max<int64_t>(0, options.recent_tokens - first % b);
    const int64_t recent = n - std::min(n, (recent_rows + b - 1) / b);
    const int64_t sinks = std::min<int64_t>(options.sinks, recent);
    for (int64_t block = 0; block < sinks; ++block) AddBlockKeys(shape, block, slot++, &keys);
    for (int64_t j = 0; j < k; ++j) {
      AddBlockKeys(shape, chosen[j], slot + std::max<int64_t>(0, j - crowd), &keys);
    }
    slot += placed;
    for (int64_t block = recent; block < n; ++block) AddBlockKeys(shape, block, slot++, &keys);
  }
  for (int64_t local = n * b; local <= row; ++local) {
    keys.push_back({local, slot * b + local - n * b});
  }
  return keys;
}

std::vector<double> DenseOracle(const Problem& problem) {
  std::vector<double> out;
  for (int32_t layer = 0; layer < problem.shape.layers; ++layer) {
    std::vector<SeenKey> keys;
    for (int64_t row = 0; row < problem.rows; ++row) {
      keys.push_back({row, row});
      for (int32_t head = 0; head < problem.shape.query_heads; ++head) {
        const std::vector<double> o = AttendRowOracle(problem, layer, head, keys);
        out.insert(out.end(), o.begin(), o.end());
      }
    }
  }
  return out;
}

void ExpectNear(const std::vector<float>& found, const std::vector<double>& expected,
                double bound) {
  ASSERT_EQ(found.size(), expected.size());
  size_t worst = 0;
  double error = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_TRUE(std::isfinite(found[i])) << "element " << i;
    if (std::abs(found[i] - expected[i]) > error) {
      error = std::abs(found[i] - expected[i]);
      worst = i;
    }
  }
  EXPECT_LE(error, bound) << "element " << worst << " of " << found.size() << ": " << found[worst]
                          << ", expected " << expected[worst];
}

uint64_t LeastHostBytes(const SessionShape& shape, const SessionOptions& options) {
  TieredStoreOptions tiers;
  tiers.payload_bytes = shape.block.payload_bytes();
  tiers.min_pinned_blocks = StepAttention::MostBlocksPerFetch(shape, options);
  uint64_t too_little = 0, enough = 1ull << 40;
  while (enough - too_little > 1) {
    tiers.host_bytes = too_little + (enough - too_little) / 2;
    (tiers.Validate().has_value() ? enough : too_little) = tiers.host_bytes;
  }
  return enough;
}

std::unique_ptr<Engine> MemoryEngine(const EngineOptions& options) {
  auto engine = Engine::Open(std::make_unique<MemoryColdStore>(), options);
  EXPECT_TRUE(engine.has_value()) << engine.error().message;
  return engine.has_value() ? std::move(engine).value() : nullptr;
}

}  // namespace cairn::test
