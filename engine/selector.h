// Selector: chooses the blocks each KV head attends to in a step, by the scores of their
// representatives (spec, section 3: softmax per row and query head over all candidates, then the
// maximum over what shares the choice).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "engine/near_keys.h"
#include "engine/options.h"
#include "engine/position_map.h"
#include "index/landmark_index.h"
#include "kernels/rope.h"

namespace cairn {

/// Chosen ordinals per KV head and group of rows, ascending.
struct Choice {
  int32_t groups = 0;  ///< 1 if the step's rows share a choice, else one per row
  int32_t k = 0;
  std::vector<int64_t> blocks;  ///< [Hkv, groups, k]

  /// If scores are wanted, else empty; empty too if all candidates were taken unscored.
  std::vector<float> log_weights;  ///< [Hkv, groups, k], of `blocks`
  std::vector<int64_t> runner_up;  ///< [Hkv, groups], the heaviest that was not chosen; -1: none
  std::vector<float> runner_up_log_weights;

  std::span<const int64_t> Of(int32_t head, int32_t group) const {
    return {blocks.data() + (static_cast<int64_t>(head) * groups + group) * k,
            static_cast<size_t>(k)};
  }
};

/// Keeps buffers between calls; one thread at a time. What it refers to must outlive it.
class Selector {
 public:
  Selector(const SessionShape& shape, const RopeTable& rope, LandmarkIndex& index,
           const NearKeys& near_keys)
      : shape_(shape), rope_(rope), index_(index), near_keys_(near_keys) {}

  /// `q` is [rows, Hq, D] un-rotated; row i stands at first_position + i.
  Status Select(const SessionOptions& options, const StepPlan& plan, int32_t layer, const float* q,
                int32_t rows, int32_t first_position, Choice* choice);
  /// Whether choices are to tell weights and runners-up from now on.
  void WantScores(bool wanted) { scores_wanted_ = wanted; }

 private:
  struct Candidate {
    int64_t block;
    float log_weight;
  };

  void RotateQueries(const StepPlan& plan, const float* q, int32_t first_position);
  void ScoreNear(const StepPlan& plan, int32_t layer);
  /// The k heaviest far blocks to `found`, and with `joins` all sums to lse_.
  Status SearchFar(const StepPlan& plan, int32_t layer, int32_t rows_per_group, int32_t k,
                   bool joins, SearchResult* found);
  /// Appends the candidates of one head and group to `out`.
  void Gather(const StepPlan& plan, int32_t head, int32_t group, int32_t rows_per_group,
              std::vector<Candidate>* out) const;
  /// The k heaviest by ordinal; gives the next one, if there is one.
  static Candidate KeepHeaviest(int32_t k, std::vector<Candidate>* candidates);
  /// The heavier of `next` and what only beyond_ has, of a head and group that chose `chosen`.
  Candidate RunnerUp(const std::vector<Candidate>& chosen, Candidate next, int32_t head,
                     int32_t group) const;
  static void Tell(const std::vector<Candidate>& chosen, const Candidate& next, size_t place,
                   Choice* choice);

  const SessionShape& shape_;
  const RopeTable& rope_;
  LandmarkIndex& index_;
  const NearKeys& near_keys_;
  bool scores_wanted_ = false;

  std::vector<int32_t> sampled_;     // rows looked at
  std::vector<float> queries_;       // [Hkv, sampled, G, D] rotated to the far slot, scaled
  std::vector<float> near_scores_;   // [Hkv, sampled, G, near]
  std::vector<float> lse_;           // [Hkv, sampled, G]: near, then joined
  std::vector<float> rotated_near_;  // [Hkv, near, D]
  SearchResult far_;
  SearchResult beyond_;  // with one block more, where scores are wanted
};

}  // namespace cairn
