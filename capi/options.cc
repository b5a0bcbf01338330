#include <charconv>
#include <map>
#include <string_view>
#include <variant>

#include "base/parallel.h"
#include "capi/guard.h"
#include "capi/handles.h"

namespace cairn::capi {
namespace {

using Number = std::optional<int> RunOptions::*;
using Share = std::optional<float> RunOptions::*;
using Text = std::optional<std::string> RunOptions::*;
using Switch = bool RunOptions::*;
using Count = int CallerModel::*;
using Place = std::variant<Number, Share, Text, Switch, Count>;

const std::map<std::string_view, Place>& Known() {
  static const std::map<std::string_view, Place> known{
      {"host-memory", &RunOptions::host_memory},
      {"compute-memory", &RunOptions::compute_memory},
      {"device", &RunOptions::device},
      {"disk-limit", &RunOptions::disk_limit},
      {"chunk", &RunOptions::chunk},
      {"block-tokens", &RunOptions::block_tokens},
      {"representatives", &RunOptions::representatives},
      {"kv-type", &RunOptions::kv_type},
      {"selection", &RunOptions::selection},
      {"retrieve", &RunOptions::retrieve},
      {"sinks", &RunOptions::sinks},
      {"recent", &RunOptions::recent},
      {"query-stride", &RunOptions::query_stride},
      {"index", &RunOptions::index},
      {"mass-target", &RunOptions::mass_target},
      {"mass-by", &RunOptions::mass_by},
      {"read-ahead", &RunOptions::read_ahead},
      {"sketches", &RunOptions::sketches},
      {"layers", &CallerModel::layers},
      {"query-heads", &CallerModel::query_heads},
      {"kv-heads", &CallerModel::kv_heads},
      {"context", &CallerModel::context}};
  return known;
}

template <class T>
Result<T> ParseNumber(std::string_view name, std::string_view text) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) return number;
  return Fail(Errc::kInvalidArgument, "option {}: '{}' is no number", name, text);
}

/// The one of two words that `text` is.
template <class T>
Result<T> ParseWord(std::string_view name, std::string_view text,
                    const std::pair<std::string_view, T>& one,
                    const std::pair<std::string_view, T>& other) {
  if (text == one.first) return one.second;
  if (text == other.first) return other.second;
  return Fail(Errc::kInvalidArgument, "option {}: use {} or {}, not '{}'", name, one.first,
              other.first, text);
}

Result<bool> ParseSwitch(std::string_view name, std::string_view text) {
  return ParseWord<bool>(name, text, {"true", true}, {"false", false});
}

/// An option that is no plain number or text of RunOptions; false if it is not one.
Result<bool> SetOther(cairn_options& options, const std::string& name, const std::string& value) {
  CallerModel& model = options.caller;
  if (name == "raw") {
    CAIRN_TRY(options.raw, ParseSwitch(name, value));
  } else if (name == "model-name") {
    model.name = value;
  } else if (name == "scale") {
    CAIRN_TRY(model.scale, ParseNumber<float>(name, value));
  } else if (name == "mode") {
    CAIRN_TRY(model.mode,
              ParseWord<AttentionMode>(
                  name, value,
                  {AttentionModeName(AttentionMode::kUnmodified), AttentionMode::kUnmodified},
                  {AttentionModeName(AttentionMode::kLandmark), AttentionMode::kLandmark}));
  } else if (name == "rope") {
    CAIRN_TRY(model.rope_style,
              ParseWord<RopeStyle>(name, value, {"half-split", RopeStyle::kHalfSplit},
                                   {"interleaved", RopeStyle::kInterleaved}));
  } else {
    return false;
  }
  return true;
}

Status Set(cairn_options& options, const std::string& name, const std::string& value) {
  CAIRN_TRY(const bool set, SetOther(options, name, value));
  if (set) return Ok();
  const auto found = Known().find(name);
  if (found == Known().end()) {
    return Fail(Errc::kInvalidArgument, "there is no option '{}'; cairn.h lists them", name);
  }
  const Place& place = found->second;
  RunOptions& run = options.run;
  if (const auto* text = std::get_if<Text>(&place)) run.** text = value;
  if (const auto* number = std::get_if<Number>(&place)) {
    CAIRN_TRY(run.**number, ParseNumber<int>(name, value));
  }
  if (const auto* count = std::get_if<Count>(&place)) {
    CAIRN_TRY(options.caller.**count, ParseNumber<int>(name, value));
  }
  if (const auto* share = std::get_if<Share>(&place)) {
    CAIRN_TRY(run.**share, ParseNumber<float>(name, value));
  }
  if (const auto* on = std::get_if<Switch>(&place)) {
    CAIRN_TRY(run.**on, ParseSwitch(name, value));
  }
  return Ok();
}

}  // namespace
}  // namespace cairn::capi

using cairn::capi::Given;
using cairn::capi::Guard;

cairn_status cairn_set_threads(int threads) {
  return Guard([&]() -> cairn::Status {
    if (threads < 1 || threads > 1024) {
      return cairn::Fail(cairn::Errc::kInvalidArgument, "{} threads: use 1 to 1024", threads);
    }
    cairn::SetThreads(threads);
    return cairn::Ok();
  });
}

cairn_status cairn_options_new(cairn_options** options) {
  return Guard([&]() -> cairn::Status {
    CAIRN_TRY(Given({{options, "options"}}));
    *options = std::make_unique<cairn_options>().release();
    return cairn::Ok();
  });
}

cairn_status cairn_options_set(cairn_options* options, const char* name, const char* value) {
  return Guard([&]() -> cairn::Status {
    CAIRN_TRY(Given({{options, "options"}, {name, "name"}, {value, "value"}}));
    return cairn::capi::Set(*options, name, value);
  });
}

void cairn_options_free(cairn_options* options) { std::unique_ptr<cairn_options>{options}; }
