// The selector against sections 3 and 4 of the specification in double precision.
#include "engine/selector.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "tests/engine/session_problem.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

constexpr int32_t kLayer = 1;  // of two: partitions of layer 0 hold other keys
constexpr int32_t kBlockRows = 6, kDim = 8;

struct SelectorCase {
  AttentionMode mode;
  Selection selection;
  int32_t query_heads, kv_heads, representatives, stride;
};

class SelectorTest : public testing::TestWithParam<SelectorCase> {
 protected:
  SelectorTest()
      : shape_(test::MakeShape(GetParam().mode, 2, GetParam().query_heads, GetParam().kv_heads,
                               {kBlockRows, kDim, DType::kF32})),
        rope_(RopeStyle::kHalfSplit, shape_.inverse_frequencies),
        near_(shape_.partitions(), kDim) {
    shape_.representatives = GetParam().representatives;
    rope_.Reserve(4096);
    UseIndex(IndexKind::kExact);
    options_.selection = GetParam().selection;
    options_.query_stride = GetParam().stride;
    options_.recent_tokens = 0;
  }

  /// An empty index of this kind in place of the one there is.
  void UseIndex(IndexKind kind) {
    IndexOptions options;
    options.kind = kind;
    options.partitions = shape_.partitions();
    options.dim = kDim;
    options.representatives = shape_.representatives;
    options.dtype = DType::kF32;
    auto index = MakeIndex(options);
    EXPECT_TRUE(index.has_value());
    index_ = std::move(index).value();
  }

  /// Adds blocks to both layers; `keys_` keeps those of kLayer, [Hkv][blocks][R·D].
  void AddBlocks(int64_t count, TestRandom& random, bool alike) {
    keys_.assign(static_cast<size_t>(shape_.kv_heads), {});
    const auto width = static_cast<size_t>(shape_.representatives) * kDim;
    const std::vector<float> one = random.Normals(width, 1.5f);
    for (int32_t layer = 0; layer < shape_.layers; ++layer) {
      std::vector<float> vectors;
      for (int32_t head = 0; head < shape_.kv_heads; ++head) {
        for (int64_t block = 0; block < count; ++block) {
          const std::vector<float> key = alike ? one : random.Normals(width, 1.5f);
          vectors.insert(vectors.end(), key.begin(), key.end());
          if (layer == kLayer) keys_[head].push_back(key);
          if (shape_.mode == AttentionMode::kLandmark) {
            near_.Add(layer * shape_.kv_heads + head, key.data());
          }
        }
      }
      ASSERT_GOOD(index_->Add(layer * shape_.kv_heads, shape_.kv_heads, count, vectors.data()));
    }
  }

  /// Score of one query row and head for a block whose row 0 stands at `slot`.
  double Score(const float* q, int64_t position, int32_t kv_head, int64_t block,
               int64_t slot) const {
    const auto rotated = test::RotateOracle(shape_, q, position - slot * kBlockRows);
    double best = -INFINITY;
    for (int32_t r = 0; r < shape_.representatives; ++r) {
      double sum = 0;
      for (int32_t c = 0; c < kDim; ++c) sum += rotated[c] * keys_[kv_head][block][r * kDim + c];
      best = std::max(best, sum / std::sqrt(kDim));
    }
    return best;
  }

  /// Weights [candidates] of one row and query head: softmax over all candidates.
  std::vector<double> RowWeights(const std::vector<float>& q, int64_t row, int32_t query_head,
                                 int64_t position, const std::vector<int64_t>& candidates,
                                 const std::vector<int64_t>& slots) const {
    const float* x = q.data() + (row * shape_.query_heads + query_head) * kDim;
    std::vector<double> weights;
    for (size_t i = 0; i < candidates.size(); ++i) {
      weights.push_back(Score(x, position, query_head / shape_.group(), candidates[i], slots[i]));
    }
    const double highest = *std::max_element(weights.begin(), weights.end());
    double sum = 0;
    for (double& w : weights) sum += w = std::exp(w - highest);
    for (double& w : weights) w /= sum;
    return weights;
  }

  /// Section 4: the blocks to choose from after `before` rows, and where they stand: the last k of
  /// all landmarks at slots 1.., older ones at slot 0.
  struct Candidates {
    std::vector<int64_t> blocks, slots;
    int64_t k = 0;
  };
  Candidates CandidatesAfter(int64_t before) const {
    const bool landmark = shape_.mode == AttentionMode::kLandmark;
    const int64_t n = before / kBlockRows,
                  first = landmark ? 0 : std::min<int64_t>(n, options_.sinks);
    Candidates all;
    all.k = std::min<int64_t>(options_.retrieve, n - first);
    for (int64_t b = first; b < n; ++b) {
      all.blocks.push_back(b);
      all.slots.push_back(!landmark ? first : b >= n - all.k ? b - (n - all.k) + 1 : 0);
    }
    return all;
  }

  /// Weights [candidates] of what chooses for `head` in `group`: the largest of its rows' and query
  /// heads' weights.
  std::vector<double> Weights(const std::vector<float>& q, int32_t rows, int32_t group,
                              int32_t head, int64_t position, const Candidates& all) const {
    const bool per_chunk = options_.selection == Selection::kPerChunk;
    const int32_t stride = std::min(options_.query_stride, rows);
    std::vector<double> folded(all.blocks.size(), 0.0);
    for (int32_t row = 0; row < rows; ++row) {
      if (per_chunk ? (row + 1) % stride != 0 : row != group) continue;
      for (int32_t h = 0; h < shape_.query_heads; ++h) {
        const bool shares =
            options_.selection == Selection::kPerTokenSharedHeads || h / shape_.group() == head;
        if (!shares) continue;
        const auto weights = RowWeights(q, row, h, position + row, all.blocks, all.slots);
        for (size_t i = 0; i < weights.size(); ++i) folded[i] = std::max(folded[i], weights[i]);
      }
    }
    return folded;
  }

  /// The k heaviest, lowest ordinal first where they tie; false if rounding could flip a choice.
  static bool Heaviest(const std::vector<double>& weights, const std::vector<int64_t>& candidates,
                       size_t k, std::vector<int64_t>* chosen) {
    std::vector<size_t> order(weights.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return weights[a] > weights[b]; });
    chosen->clear();
    for (size_t i = 0; i < k; ++i) chosen->push_back(candidates[order[i]]);
    std::sort(chosen->begin(), chosen->end());
    if (k == 0 || k == order.size()) return true;
    const double last = weights[order[k - 1]], next = weights[order[k]];
    return last == next || std::log(last / next) > 1e-4;
  }

  /// Selects for `rows` rows after `before` rows and compares with the oracle.
  void Check(int64_t before, int32_t rows, TestRandom& random) {
    const StepPlan plan = PlanStep(shape_, options_, before);
    const std::vector<float> q =
        random.Normals(static_cast<size_t>(rows * shape_.query_heads * kDim), 1.5f);
    const int32_t position = plan.local_slot * kBlockRows + plan.tail_rows;
    Choice choice;
    Selector selector(shape_, rope_, *index_, near_);
    ASSERT_GOOD(selector.Select(options_, plan, kLayer, q.data(), rows, position, &choice));

    const Candidates all = CandidatesAfter(before);
    ASSERT_EQ(choice.k, all.k);
    ASSERT_EQ(choice.groups, options_.selection == Selection::kPerChunk ? 1 : rows);
    for (int32_t group = 0; group < choice.groups && all.k > 0; ++group) {
      for (int32_t head = 0; head < shape_.kv_heads; ++head) {
        const std::vector<double> folded = Weights(q, rows, group, head, position, all);
        std::vector<int64_t> expected;
        const bool certain = Heaviest(folded, all.blocks, static_cast<size_t>(all.k), &expected);
        (certain ? checked_ : skipped_) += 1;
        const auto found = choice.Of(head, group);
        if (!certain) continue;
        EXPECT_EQ(std::vector<int64_t>(found.begin(), found.end()), expected)
            << "head " << head << " group " << group << " of " << before / kBlockRows
            << " blocks, k " << all.k;
      }
    }
  }

  SessionShape shape_;
  SessionOptions options_;
  RopeTable rope_;
  NearKeys near_;
  std::unique_ptr<LandmarkIndex> index_;
  std::vector<std::vector<std::vector<float>>> keys_;
  int checked_ = 0, skipped_ = 0;
};

TEST_P(SelectorTest, AgreesWithTheOracle) {
  TestRandom random(61);
  AddBlocks(40, random, false);
  for (const int32_t k : {0, 1, 2, 4, 7, 50}) {
    options_.retrieve = k;
    for (const int32_t rows : {1, 2, 5, 17}) {
      for (const int64_t blocks : {0, 1, 3, 8, 40}) {
        Check(blocks * kBlockRows + random.Int(0, kBlockRows - 1), rows, random);
      }
    }
  }
  EXPECT_GT(checked_, 20);
  EXPECT_LE(skipped_, checked_ / 50);
}

// In layer 0 of a real model all landmark keys are the same: far blocks tie exactly.
TEST_P(SelectorTest, TiesGoToTheLowestOrdinal) {
  TestRandom random(62);
  AddBlocks(30, random, true);
  for (const int32_t k : {1, 3, 6}) {
    options_.retrieve = k;
    for (const int32_t rows : {1, 4}) Check(30 * kBlockRows, rows, random);
  }
  EXPECT_GT(checked_, 0);
}

TEST_P(SelectorTest, InfiniteQueriesAreRefused) {
  TestRandom random(63);
  AddBlocks(30, random, false);
  options_.retrieve = 2;
  const StepPlan plan = PlanStep(shape_, options_, 30 * kBlockRows);
  std::vector<float> q(static_cast<size_t>(shape_.query_heads * kDim), INFINITY);
  Choice choice;
  Selector selector(shape_, rope_, *index_, near_);
  EXPECT_ERROR(
      selector.Select(options_, plan, kLayer, q.data(), 1, plan.local_slot * kBlockRows, &choice),
      Errc::kInvalidArgument, "NaN");
}

// The runner-up comes out of the same search as the choice, which then looks for one block more.
TEST_P(SelectorTest, TheRunnerUpIsTheHeaviestThatWasNotChosen) {
  constexpr int64_t kBlocks = 600;  // two chunks of an int8 index and a part of one
  for (const auto& [kind, tolerance] :
       {std::pair(IndexKind::kExact, 1e-4), {IndexKind::kInt8, 0.08}}) {
    SCOPED_TRACE(IndexKindName(kind));
    UseIndex(kind);
    near_ = NearKeys(shape_.partitions(), kDim);
    TestRandom random(64);
    AddBlocks(kBlocks, random, false);
    double error = 0;
    for (const int32_t k : {1, 4, 7}) {
      options_.retrieve = k;
      const StepPlan plan = PlanStep(shape_, options_, kBlocks * kBlockRows + 2);
      constexpr int32_t kRows = 5;
      const auto q = random.Normals(static_cast<size_t>(kRows * shape_.query_heads * kDim), 1.5f);
      const int32_t position = plan.local_slot * kBlockRows + plan.tail_rows;
      Selector selector(shape_, rope_, *index_, near_);
      selector.WantScores(true);
      Choice choice;
      ASSERT_GOOD(selector.Select(options_, plan, kLayer, q.data(), kRows, position, &choice));
      const Candidates all = CandidatesAfter(kBlocks * kBlockRows + 2);
      for (int32_t group = 0; group < choice.groups; ++group) {
        for (int32_t head = 0; head < shape_.kv_heads; ++head) {
          const std::vector<double> truth = Weights(q, kRows, group, head, position, all);
          const auto weight = [&](int64_t block) {
            return std::log(truth[static_cast<size_t>(block - all.blocks.front())]);
          };
          const auto place = static_cast<size_t>(head * choice.groups + group);
          const int64_t next = choice.runner_up[place];
          const float next_weight = choice.runner_up_log_weights[place];
          ASSERT_GE(next, all.blocks.front());
          EXPECT_NEAR(next_weight, weight(next), tolerance);
          error = std::max(error, std::abs(next_weight - weight(next)));
          const auto chosen = choice.Of(head, group);
          for (int32_t i = 0; i < k; ++i) {
            const float chosen_weight = choice.log_weights[place * static_cast<size_t>(k) + i];
            EXPECT_NEAR(chosen_weight, weight(chosen[i]), tolerance);
            EXPECT_GE(chosen_weight, next_weight);
          }
          for (const int64_t block : all.blocks) {
            if (block == next || std::ranges::count(chosen, block) > 0) continue;
            EXPECT_LE(weight(block), next_weight + tolerance) << block << " was passed over";
          }
        }
      }
    }
    if (kind == IndexKind::kInt8) {
      EXPECT_GT(error, 1e-4) << "nothing was searched by its codes";
    }
  }
}

constexpr AttentionMode kL = AttentionMode::kLandmark, kU = AttentionMode::kUnmodified;

INSTANTIATE_TEST_SUITE_P(
    Cases, SelectorTest,
    testing::Values(SelectorCase{kL, Selection::kPerToken, 1, 1, 1, 1},
                    SelectorCase{kL, Selection::kPerToken, 6, 2, 1, 1},
                    SelectorCase{kL, Selection::kPerChunk, 6, 2, 1, 1},
                    SelectorCase{kL, Selection::kPerChunk, 6, 2, 1, 4},
                    SelectorCase{kL, Selection::kPerTokenSharedHeads, 6, 2, 1, 1},
                    SelectorCase{kU, Selection::kPerToken, 6, 2, 3, 1},
                    SelectorCase{kU, Selection::kPerChunk, 4, 4, 2, 4},
                    SelectorCase{kU, Selection::kPerTokenSharedHeads, 6, 3, 1, 1}));

}  // namespace
}  // namespace cairn
