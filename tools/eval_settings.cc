#include "tools/eval_settings.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

namespace cairn {
namespace {

constexpr int64_t kShortest = 256;
constexpr int64_t kLongest = int64_t{1} << 30;
constexpr int kMostDepths = 100;

}  // namespace

Result<int64_t> ParseLength(std::string_view text) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const std::string_view unit(rest, static_cast<size_t>(end - rest));
  int64_t scale = 0;
  if (unit.empty()) scale = 1;
  if (unit == "k" || unit == "K") scale = 1024;
  if (unit == "M") scale = 1024 * 1024;
  if (error != std::errc() || scale == 0) {
    return Fail(Errc::kInvalidArgument,
                "--lengths: '{}' is no length; write tokens as 4096, 4k or 1M", text);
  }
  if (number < 1 || number > kLongest / scale || number * scale < kShortest) {
    return Fail(Errc::kInvalidArgument, "--lengths: {} tokens; use {} to {}", text, kShortest,
                kLongest);
  }
  return number * scale;
}

Status EvalSettings::Validate() const {
  if (std::set<int64_t>(lengths.begin(), lengths.end()).size() != lengths.size()) {
    return Fail(Errc::kInvalidArgument, "--lengths names a length twice; name each once");
  }
  CAIRN_TRY(AtLeastOne("--samples", samples));
  CAIRN_TRY(AtLeastOne("--max-tokens", max_tokens));
  if (plan.depths < 1 || plan.depths > kMostDepths) {
    return Fail(Errc::kInvalidArgument, "--depths {}: use 1 to {}", plan.depths, kMostDepths);
  }
  const int most = MostFacts(plan.task);
  if (plan.facts < 1 || (plan.facts > 1 && plan.facts % plan.depths != 0)) {
    return Fail(Errc::kInvalidArgument,
                "--facts-per-text {}: use 1 or a multiple of --depths {}, so that every depth is "
                "asked equally often",
                plan.facts, plan.depths);
  }
  if (plan.facts > most) {
    return Fail(Errc::kInvalidArgument,
                "{} facts in a text (--facts-per-text, or as many as --depths): there are subjects "
                "for {}; use fewer, or 1 for texts that take one depth after the other",
                plan.facts, most);
  }
  if (!question.empty() && (plan.task != EvalTask::kPasskey || plan.facts > 1)) {
    return Fail(Errc::kInvalidArgument,
                "--question is for `cairn eval passkey` with --facts-per-text 1; the questions for "
                "several facts differ");
  }
  return Ok();
}

nlohmann::json EvalSettings::ToJson(const SessionProfile& profile,
                                    const SessionOptions& options) const {
  nlohmann::json adapters = nlohmann::json::array();
  for (const AdapterRecord& adapter : profile.adapters) {
    adapters.push_back({{"fingerprint", adapter.fingerprint}, {"scale", adapter.scale}});
  }
  nlohmann::json json{{"task", EvalTaskName(plan.task)},
                      {"--lengths", lengths},
                      {"--samples", samples},
                      {"--depths", plan.depths},
                      {"--facts-per-text", plan.facts},
                      {"--seed", plan.seed},
                      {"--filler", paper ? "paper" : "text"},
                      {"--text", text_hash},
                      {"--preface", preface},
                      {"--question", question},
                      {"--max-tokens", max_tokens},
                      {"--model", profile.model_fingerprint},
                      {"--adapter", adapters},
                      {"mode", AttentionModeName(profile.mode)},
                      {"--block-tokens", profile.block_tokens},
                      {"--representatives", profile.representatives},
                      {"--kv-type", DTypeName(profile.kv_type)},
                      {"--chunk", profile.chunk},
                      {"--selection", SelectionName(profile.selection)},
                      {"--retrieve", options.retrieve},
                      {"--sinks", options.sinks},
                      {"--recent", options.recent_tokens},
                      {"--query-stride", options.query_stride},
                      {"--index", IndexKindName(options.index)}};
  if (why) json["--why"] = true;  // records of runs without do not tell
  if (options.far_field) json["--far-field"] = true;
  return json;
}

std::string DescribeMode(const SessionProfile& profile, const SessionOptions& options) {
  const bool landmark = profile.mode == AttentionMode::kLandmark;
  std::string more;
  if (!landmark) {
    more = fmt::format(", sinks {}, recent {} tokens", options.sinks, options.recent_tokens);
  }
  return fmt::format(
      "{}: {} blocks of {} tokens per KV head{}{}; chosen {} while reading, per-token "
      "in answers",
      AttentionModeName(profile.mode), options.retrieve, profile.block_tokens, more,
      options.far_field ? ", a far field for the others" : "", SelectionName(profile.selection));
}

}  // namespace cairn
