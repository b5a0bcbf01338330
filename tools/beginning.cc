#include "tools/beginning.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/parallel.h"
#include "tools/session_profile.h"

namespace cairn {
namespace {

/// Where the full step ends that begins at token `first`.
int64_t NextStepEnd(const SessionProfile& profile, int64_t first) {
  if (profile.mode != AttentionMode::kLandmark) return first + profile.chunk;
  const int64_t m = profile.block_tokens;
  const int64_t rows = first + first / m + profile.chunk;
  // As Runner::NextStep: a token is never parted from the landmark that it is followed by.
  return rows / (m + 1) * m + std::min(rows % (m + 1), m - 1);
}

}  // namespace

std::string ReadingText(const SessionProfile& profile, const SessionOptions& options,
                        std::optional<int32_t> device) {
  nlohmann::json json{{"retrieve", options.retrieve},
                      {"query_stride", options.query_stride},
                      {"index", IndexKindName(options.index)},
                      {"mass_target", options.mass_target},
                      {"mass_by", options.mass_by == MassBy::kBound ? "bound" : "estimate"},
                      {"device", device.has_value() ? nlohmann::json(*device) : "cpu"},
                      {"threads", Threads()}};
  if (profile.mode == AttentionMode::kUnmodified) {
    json["sinks"] = options.sinks;
    json["recent"] = options.recent_tokens;
  }
  return json.dump();
}

int64_t LastStepEnd(const SessionProfile& profile, int64_t most_tokens, bool behind_block) {
  int64_t last = 0;
  for (int64_t end = 0; end <= most_tokens; end = NextStepEnd(profile, end)) {
    if (!behind_block || end % profile.block_tokens == 0) last = end;
  }
  return last;
}

void ExtendBeginning(SessionProfile& profile, int64_t first, int64_t end,
                     const std::string& reading) {
  Beginning& beginning = profile.beginning;
  if (first != beginning.tokens || (first > 0 && reading != beginning.reading)) return;
  if (NextStepEnd(profile, first) != end) return;  // the end of the text has cut it short
  beginning = {end, reading};
}

}  // namespace cairn
