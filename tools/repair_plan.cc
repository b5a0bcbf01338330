#include "tools/repair_plan.h"

#include <algorithm>

#include "engine/fork_point.h"
#include "engine/stored_shape.h"

namespace cairn {
namespace {

Status FindCut(const SessionCheck& check, RepairPlan& plan) {
  CAIRN_TRY(const StoredShape stored, ParseStoredShape(plan.record.properties));
  CAIRN_TRY(plan.profile, SessionProfile::FromJson(stored.properties));
  CAIRN_TRY(const int64_t block_tokens, TokensPerBlock(plan.record));
  plan.tokens_known = check.tokens == plan.record.tokens;
  plan.summaries = check.blocks.summaries < check.blocks.payloads || check.only_summaries;
  plan.blocks = static_cast<int64_t>(
      std::min(check.blocks.payloads, check.tokens / static_cast<uint64_t>(block_tokens)));
  if (check.only_summaries) {
    plan.tokens = static_cast<int64_t>(plan.record.tokens);
    plan.cut_profile = plan.profile;
    return Ok();
  }
  while (!plan.profile.CanEndAt(plan.blocks * block_tokens)) --plan.blocks;
  plan.tokens = plan.blocks * block_tokens;
  plan.cut_profile = plan.profile;
  plan.cut_profile.EndAt(plan.tokens);
  if (static_cast<uint64_t>(plan.tokens) < plan.record.tokens) return Ok();
  return Fail(Errc::kCorruption, "no part of it can be cut off that has the damage");
}

}  // namespace

RepairPlan PlanRepair(const SessionRecord& record, const SessionCheck& check) {
  RepairPlan plan;
  plan.record = record;
  const Status found = FindCut(check, plan);
  if (!found) plan.hopeless = found.error().message;
  return plan;
}

void StartWithAStep(RepairPlan& plan) {
  const SessionProfile& profile = plan.profile;
  if (plan.blocks == 0 || profile.ingests.empty()) return;
  const IngestRecord& first = profile.ingests.front();
  if (first.start_token != 0 || plan.tokens > first.tokens) return;
  const int64_t block_tokens = plan.tokens / plan.blocks;
  plan.tokens = LastStepEnd(profile, plan.tokens, true);
  plan.blocks = plan.tokens / block_tokens;
  plan.cut_profile = profile;
  plan.cut_profile.EndAt(plan.tokens);
}

}  // namespace cairn
