#include "tools/session_history.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/byte_size.h"

namespace cairn {
namespace {

/// What each step brought.
std::vector<HistoryStep> Added(const std::vector<HistoryStep>& steps) {
  std::vector<HistoryStep> added;
  HistoryStep before;
  for (const HistoryStep& step : steps) {
    added.push_back(
        {step.tokens - before.tokens, step.rows - before.rows, step.blocks - before.blocks});
    before = step;
  }
  return added;
}

std::string Plus(uint64_t number) { return fmt::format("+{}", number); }

nlohmann::json Json(const HistoryStep& step, uint64_t ordinal_bytes) {
  return {{"tokens", step.tokens},
          {"rows", step.rows},
          {"blocks", step.blocks},
          {"payload_bytes", step.blocks * ordinal_bytes}};
}

}  // namespace

Result<std::vector<HistoryStep>> HistoryOf(const SessionCatalog& catalog,
                                           const StoredSession& session) {
  CAIRN_TRY(const auto counts, catalog.ReadTokenCounts(session.record));
  const bool landmarks = session.profile.mode == AttentionMode::kLandmark;
  const auto block_tokens = static_cast<uint64_t>(session.shape.block_tokens());
  std::vector<HistoryStep> steps;
  uint64_t tokens = 0;
  for (const uint64_t count : counts) {
    tokens += count;
    const uint64_t blocks = tokens / block_tokens;
    steps.push_back({tokens, tokens + (landmarks ? blocks : 0), blocks});
  }
  return steps;
}

nlohmann::json HistoryJson(const std::vector<HistoryStep>& steps, uint64_t ordinal_bytes) {
  nlohmann::json list = nlohmann::json::array();
  const std::vector<HistoryStep> added = Added(steps);
  for (size_t i = 0; i < steps.size(); ++i) {
    nlohmann::json step = Json(steps[i], ordinal_bytes);
    step["added"] = Json(added[i], ordinal_bytes);
    list.push_back(std::move(step));
  }
  return list;
}

std::string DescribeGrowth(const std::vector<HistoryStep>& steps, uint64_t ordinal_bytes) {
  if (steps.empty()) return "no tokens yet";
  const std::vector<HistoryStep> added = Added(steps);
  const HistoryStep& last = added.back();
  const std::string brought = fmt::format("{} tokens, {} blocks, {}", last.tokens, last.blocks,
                                          FormatByteSize(last.blocks * ordinal_bytes));
  if (added.size() == 1) return fmt::format("1 step: {}", brought);
  const auto [least, most] = std::ranges::minmax_element(added, {}, &HistoryStep::tokens);
  return fmt::format("{} steps of {} to {} tokens; the last: {}", added.size(), least->tokens,
                     most->tokens, brought);
}

std::string HistoryTable(const std::vector<HistoryStep>& steps, uint64_t ordinal_bytes) {
  std::string text =
      fmt::format("{:>6} {:>9} {:>9} {:>8} {:>11}   {:>12} {:>9} {:>11}\n", "step", "tokens",
                  "rows", "blocks", "bytes", "tokens then", "blocks", "bytes");
  const std::vector<HistoryStep> added = Added(steps);
  for (size_t i = 0; i < steps.size(); ++i) {
    text += fmt::format("{:>6} {:>9} {:>9} {:>8} {:>11}   {:>12} {:>9} {:>11}\n", i + 1,
                        Plus(added[i].tokens), Plus(added[i].rows), Plus(added[i].blocks),
                        "+" + FormatByteSize(added[i].blocks * ordinal_bytes), steps[i].tokens,
                        steps[i].blocks, FormatByteSize(steps[i].blocks * ordinal_bytes));
  }
  return text;
}

}  // namespace cairn
