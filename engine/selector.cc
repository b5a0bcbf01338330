#include "engine/selector.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/matmul.h"
#include "base/parallel.h"

namespace cairn {
namespace {

constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();

float LogSumExp(const float* scores, int64_t count) {
  float highest = kNegativeInfinity;
  for (int64_t i = 0; i < count; ++i) highest = std::max(highest, scores[i]);
  if (highest == kNegativeInfinity) return highest;
  float sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += std::exp(scores[i] - highest);
  return highest + std::log(sum);
}

void TakeAll(const StepPlan& plan, Choice* choice) {
  std::vector<int64_t> all(static_cast<size_t>(plan.choose));
  const auto far = static_cast<size_t>(plan.far_end - plan.far_begin);
  std::iota(all.begin(), all.begin() + static_cast<int64_t>(far), plan.far_begin);
  std::iota(all.begin() + static_cast<int64_t>(far), all.end(), plan.near_begin);
  for (size_t i = 0; i < choice->blocks.size(); ++i) choice->blocks[i] = all[i % all.size()];
}

}  // namespace

void Selector::RotateQueries(const StepPlan& plan, const float* q, int32_t first_position) {
  const int32_t heads = shape_.kv_heads, group = shape_.group(), dim = shape_.block.head_dim;
  const auto sampled = static_cast<int64_t>(sampled_.size());
  const float scale = shape_.scale > 0 ? shape_.scale : 1.0f / std::sqrt(static_cast<float>(dim));
  queries_.resize(static_cast<size_t>(heads * sampled * group * dim));
  ParallelRanges(sampled, 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int32_t row = sampled_[i];
      const int32_t distance = first_position + row - plan.far_slot * shape_.block.block_rows;
      for (int32_t h = 0; h < heads * group; ++h) {
        const int64_t place = ((h / group) * sampled + i) * group + h % group;
        float* target = queries_.data() + place * dim;
        rope_.Rotate(distance, q + (static_cast<int64_t>(row) * heads * group + h) * dim, target);
        for (int32_t c = 0; c < dim; ++c) target[c] *= scale;
      }
    }
  });
}

void Selector::ScoreNear(const StepPlan& plan, int32_t layer) {
  const int32_t heads = shape_.kv_heads, dim = shape_.block.head_dim;
  const int64_t rows = std::ssize(sampled_) * shape_.group();
  const int64_t near = plan.near_end - plan.near_begin;
  lse_.assign(static_cast<size_t>(heads * rows), kNegativeInfinity);
  if (near == 0) return;
  near_scores_.resize(static_cast<size_t>(heads * rows * near));
  rotated_near_.resize(static_cast<size_t>(heads * near * dim));
  ParallelFor(heads, [&](int64_t head) {
    // The queries stand rotated to slot 0; a key at slot s is rotated on by s·B instead.
    float* keys = rotated_near_.data() + head * near * dim;
    for (int64_t i = 0; i < near; ++i) {
      const int64_t block = plan.near_begin + i;
      const auto partition = static_cast<int32_t>(layer * heads + head);
      rope_.Rotate(plan.NearSlot(block) * shape_.block.block_rows, near_keys_.at(partition, block),
                   keys + i * dim);
    }
    float* scores = near_scores_.data() + head * rows * near;
    MultiplyTransposed(DType::kF32, queries_.data() + head * rows * dim, keys, scores, rows, near,
                       dim);
    for (int64_t r = 0; r < rows; ++r) {
      lse_[head * rows + r] = LogSumExp(scores + r * near, near);
    }
  });
}

Status Selector::SearchFar(const StepPlan& plan, int32_t layer, int32_t rows_per_group, int32_t k,
                           bool joins, SearchResult* found) {
  const int64_t rows = std::ssize(sampled_) * shape_.group();
  found->k = 0;
  if (plan.far_end == plan.far_begin) return Ok();
  SearchRequest request;
  request.first_partition = layer * shape_.kv_heads;
  request.partition_count = shape_.kv_heads;
  request.queries = queries_.data();
  request.rows = static_cast<int32_t>(rows);
  request.rows_per_group = rows_per_group;
  request.begin = plan.far_begin;
  request.end = plan.far_end;
  request.k = k;
  request.other_lse = plan.near_end > plan.near_begin ? lse_.data() : nullptr;
  CAIRN_TRY(index_.Search(request, found));
  if (joins) std::copy(found->lse.begin(), found->lse.end(), lse_.begin());
  return Ok();
}

void Selector::Gather(const StepPlan& plan, int32_t head, int32_t group, int32_t rows_per_group,
                      std::vector<Candidate>* out) const {
  for (int32_t i = 0; i < far_.k; ++i) {
    const int64_t at = (static_cast<int64_t>(head) * far_.groups + group) * far_.k + i;
    if (far_.ordinals[at] >= 0) out->push_back({far_.ordinals[at], far_.log_weights[at]});
  }
  const int64_t near = plan.near_end - plan.near_begin;
  const int64_t rows = std::ssize(sampled_) * shape_.group();
  for (int64_t i = 0; i < near; ++i) {
    float heaviest = kNegativeInfinity;
    for (int32_t r = group * rows_per_group; r < (group + 1) * rows_per_group; ++r) {
      const int64_t at = head * rows + r;
      heaviest = std::max(heaviest, near_scores_[at * near + i] - lse_[at]);
    }
    out->push_back({plan.near_begin + i, heaviest});
  }
}

Selector::Candidate Selector::KeepHeaviest(int32_t k, std::vector<Candidate>* candidates) {
  std::sort(candidates->begin(), candidates->end(), [](const Candidate& a, const Candidate& b) {
    return a.log_weight != b.log_weight ? a.log_weight > b.log_weight : a.block < b.block;
  });
  const auto kept = static_cast<size_t>(k);
  const Candidate next = candidates->size() > kept ? (*candidates)[kept] : Candidate{-1, 0};
  candidates->resize(kept);
  std::sort(candidates->begin(), candidates->end(),
            [](const Candidate& a, const Candidate& b) { return a.block < b.block; });
  return next;
}

// A search for one block more may estimate other sums (SearchRequest), so that its weights may be
// a little above those of the choice.
Selector::Candidate Selector::RunnerUp(const std::vector<Candidate>& chosen, Candidate next,
                                       int32_t head, int32_t group) const {
  float lightest = std::numeric_limits<float>::infinity();
  for (const Candidate& c : chosen) lightest = std::min(lightest, c.log_weight);
  for (int32_t i = 0; i < beyond_.k; ++i) {
    const int64_t at = (static_cast<int64_t>(head) * beyond_.groups + group) * beyond_.k + i;
    const int64_t block = beyond_.ordinals[at];
    const auto is_it = [block](const Candidate& c) { return c.block == block; };
    if (block < 0 || std::ranges::any_of(chosen, is_it)) continue;
    const float weight = std::min(beyond_.log_weights[at], lightest);
    if (next.block < 0 || weight > next.log_weight) next = {block, weight};
  }
  return next;
}

void Selector::Tell(const std::vector<Candidate>& chosen, const Candidate& next, size_t place,
                    Choice* choice) {
  choice->runner_up[place] = next.block;
  choice->runner_up_log_weights[place] = next.log_weight;
  float* weights = choice->log_weights.data() + place * chosen.size();
  for (const Candidate& c : chosen) *weights++ = c.log_weight;
}

Status Selector::Select(const SessionOptions& options, const StepPlan& plan, int32_t layer,
                        const float* q, int32_t rows, int32_t first_position, Choice* choice) {
  const int32_t heads = shape_.kv_heads;
  const bool per_chunk = options.selection == Selection::kPerChunk;
  const bool shared = options.selection == Selection::kPerTokenSharedHeads;
  choice->groups = per_chunk ? 1 : rows;
  choice->k = plan.choose;
  choice->blocks.resize(static_cast<size_t>(heads) * choice->groups * choice->k);
  choice->log_weights.clear();
  choice->runner_up.clear();
  choice->runner_up_log_weights.clear();
  if (choice->blocks.empty()) return Ok();
  if (plan.TakesAll()) {
    TakeAll(plan, choice);
    return Ok();
  }
  if (scores_wanted_) {
    choice->log_weights.resize(choice->blocks.size());
    choice->runner_up.resize(static_cast<size_t>(heads) * choice->groups);
    choice->runner_up_log_weights.resize(choice->runner_up.size());
  }
  sampled_.clear();
  const int32_t stride = per_chunk ? std::min(options.query_stride, rows) : 1;
  for (int32_t i = stride - 1; i < rows; i += stride) sampled_.push_back(i);
  RotateQueries(plan, q, first_position);
  ScoreNear(plan, layer);
  const auto sampled = static_cast<int32_t>(sampled_.size());
  const int32_t rows_per_group = (per_chunk ? sampled : 1) * shape_.group();
  // What is chosen must not depend on who looks on, and some indexes look further for more blocks.
  if (scores_wanted_) {
    CAIRN_TRY(SearchFar(plan, layer, rows_per_group, plan.choose + 1, false, &beyond_));
  }
  CAIRN_TRY(SearchFar(plan, layer, rows_per_group, plan.choose, true, &far_));

  std::vector<Candidate> candidates;
  for (int32_t group = 0; group < choice->groups; ++group) {
    for (int32_t head = 0; head < heads; ++head) {
      if (!shared || head == 0) candidates.clear();
      Gather(plan, head, group, rows_per_group, &candidates);
      if (shared && head + 1 < heads) continue;
      if (shared) {  // a block weighs as much as in the head that weighs it most
        std::sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
          return a.block != b.block ? a.block < b.block : a.log_weight > b.log_weight;
        });
        const auto same = [](const auto& a, const auto& b) { return a.block == b.block; };
        candidates.erase(std::unique(candidates.begin(), candidates.end(), same), candidates.end());
      }
      Candidate next = KeepHeaviest(plan.choose, &candidates);
      if (scores_wanted_) {
        for (int32_t of = shared ? 0 : head; of <= head; ++of) {
          next = RunnerUp(candidates, next, of, group);
        }
      }
      for (int32_t target = shared ? 0 : head; target <= head; ++target) {
        const auto place = static_cast<size_t>(target) * choice->groups + group;
        int64_t* blocks = choice->blocks.data() + place * choice->k;
        for (const Candidate& c : candidates) *blocks++ = c.block;
        if (scores_wanted_) Tell(candidates, next, place, choice);
      }
    }
  }
  return Ok();
}

}  // namespace cairn
