#include "engine/position_map.h"

#include <algorithm>

namespace cairn {
namespace {

void PlanLandmark(const SessionOptions& options, int32_t room, StepPlan* plan) {
  plan->choose = static_cast<int32_t>(std::min<int64_t>(options.retrieve, plan->blocks));
  const int32_t placed = std::min(plan->choose, room);
  plan->crowd = plan->choose - placed;
  plan->far_end = plan->near_begin = plan->blocks - placed;
  plan->near_end = plan->blocks;
  plan->local_slot = placed + 1;
}

void PlanUnmodified(const SessionShape& shape, const SessionOptions& options, int32_t room,
                    StepPlan* plan) {
  const int64_t b = shape.block.block_rows;
  const int64_t uncovered = std::max<int64_t>(0, options.recent_tokens - plan->tail_rows);
  const int64_t recent = std::min(plan->blocks, (uncovered + b - 1) / b);
  const int64_t recent_begin = plan->blocks - recent;
  const int64_t sinks = std::min<int64_t>(options.sinks, recent_begin);
  plan->far_begin = sinks;
  plan->far_end = plan->near_begin = plan->near_end = recent_begin;
  plan->choose = static_cast<int32_t>(std::min<int64_t>(options.retrieve, recent_begin - sinks));
  const int32_t placed = std::min(plan->choose, room);
  plan->crowd = plan->choose - placed;
  plan->first_slot = plan->far_slot = static_cast<int32_t>(sinks);
  for (int64_t i = 0; i < sinks; ++i) plan->fixed.push_back({i, static_cast<int32_t>(i)});
  for (int64_t i = 0; i < recent; ++i) {
    plan->fixed.push_back({recent_begin + i, static_cast<int32_t>(sinks + placed + i)});
  }
  plan->local_slot = static_cast<int32_t>(sinks + placed + recent);
}

}  // namespace

StepPlan PlanStep(const SessionShape& shape, const SessionOptions& options, int64_t rows_before,
                  int32_t room) {
  StepPlan plan;
  plan.blocks = rows_before / shape.block.block_rows;
  plan.tail_rows = static_cast<int32_t>(rows_before % shape.block.block_rows);
  if (shape.mode == AttentionMode::kLandmark) {
    PlanLandmark(options, room, &plan);
  } else {
    PlanUnmodified(shape, options, room, &plan);
  }
  return plan;
}

}  // namespace cairn
