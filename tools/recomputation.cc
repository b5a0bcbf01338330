#include "tools/recomputation.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <utility>
#include <vector>

#include "base/progress.h"
#include "engine/fork_point.h"
#include "engine/stored_shape.h"
#include "tools/interrupt.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

Error Stopped(const RepairPlan& plan) {
  return Fail(Errc::kInterrupted, "stopped; session '{}' is what it was", plan.record.name);
}

/// Where what holds `token` ends: a text, or what was said between two. Says whether it is a text.
int64_t EndOfPart(const SessionProfile& profile, int64_t token, int64_t all, bool* text) {
  int64_t end = all;
  *text = false;
  for (const IngestRecord& ingest : profile.ingests) {
    const int64_t ingest_end = ingest.start_token + ingest.tokens;
    if (ingest.start_token <= token && token < ingest_end) {
      *text = true;
      return std::min(ingest_end, all);
    }
    if (ingest.start_token > token) end = std::min(end, ingest.start_token);
  }
  return end;
}

/// Reads all of `tokens` that the session has not, in steps as they were when they came first.
Status ReadRest(Workspace& workspace, const RepairPlan& plan, std::span<const uint32_t> tokens,
                bool quiet) {
  Session& session = workspace.session();
  Progress progress(quiet);
  const auto all = std::ssize(tokens);
  while (session.tokens() < all) {
    bool text = false;
    const int64_t first = session.tokens();
    const int64_t end = EndOfPart(plan.profile, first, all, &text);
    CAIRN_TRY(text ? workspace.ChooseAsReading() : workspace.ChoosePerToken());
    auto left = tokens.subspan(static_cast<size_t>(first), static_cast<size_t>(end - first));
    while (!left.empty()) {
      if (Interrupted()) return Stopped(plan);
      const auto count = static_cast<size_t>(workspace.runner().NextStep(left));
      CAIRN_TRY(workspace.runner().Step(left.first(count)));
      session.AddTokens(left.first(count));
      left = left.subspan(count);
      if (progress.Due()) {
        progress.Show(fmt::format("{} of {} tokens computed again", session.tokens() - plan.tokens,
                                  all - plan.tokens));
      }
    }
  }
  return Ok();
}

}  // namespace

Result<bool> Recompute(const Flags& flags, std::unique_ptr<Engine> engine, const RepairPlan& plan) {
  CAIRN_TRY(const auto tokens, engine->catalog().ReadTokens(plan.record));
  const auto watch = [&](uint64_t, uint64_t) -> Status {
    if (Interrupted()) return Stopped(plan);
    return Ok();
  };
  CAIRN_TRY(const ForkPoint point, ForkPointBehind(engine->cold(), plan.record, plan.blocks,
                                                   plan.cut_profile.ToJson(), watch));
  CAIRN_TRY(auto workspace, Workspace::OpenAt(flags, std::move(engine), plan.record, point));
  CAIRN_TRY(ReadRest(*workspace, plan, tokens, flags.quiet));
  workspace->profile().beginning = plan.cut_profile.beginning;  // what follows may be other bytes
  CAIRN_TRY(workspace->Commit());
  CAIRN_TRY(const StoredShape before, ParseStoredShape(plan.record.properties));
  CAIRN_TRY(const StoredShape after, ParseStoredShape(workspace->session().record().properties));
  return before.chain == after.chain;
}

}  // namespace cairn
