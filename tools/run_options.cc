#include "tools/run_options.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/absolute_path.h"
#include "base/byte_size.h"
#include "base/device.h"

namespace cairn {
namespace {

Result<uint64_t> SizeOr(const std::optional<std::string>& text, const char* flag,
                        uint64_t fallback) {
  if (!text.has_value()) return fallback;
  auto size = ParseByteSize(*text);
  if (!size.has_value()) {
    return Fail(Errc::kInvalidArgument, "{}: {}", flag, size.error().message);
  }
  return size;
}

Status Differs(const char* flag, const std::string& given, const std::string& made) {
  if (given == made) return Ok();
  return Fail(Errc::kMismatch,
              "{} {} differs from what the session was made with ({}); leave it out, or use "
              "another --session",
              flag, given, made);
}

/// A path as it leads to its file from any directory.
std::string Remembered(const std::string& path) {
  return std::filesystem::path(AbsolutePath(path)).lexically_normal().string();
}

constexpr int kDefaultRetrieveLandmark = 8;
constexpr int kDefaultRetrieveUnmodified = 16;

}  // namespace

Result<std::optional<int32_t>> ParseDevice(std::string_view text) {
  if (text == "cpu") return std::nullopt;
  if (text == "auto") {
    return Device::Open(0).has_value() ? std::optional<int32_t>(0) : std::nullopt;
  }
  constexpr std::string_view kCuda = "cuda:";
  int32_t number = 0;
  if (text.substr(0, kCuda.size()) == kCuda) {
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + kCuda.size(), end, number);
    if (error == std::errc() && stop == end && number >= 0) return std::optional<int32_t>(number);
  }
  return Fail(Errc::kInvalidArgument, "--device {}: use cpu, auto or cuda:N", text);
}

Result<DType> ParseKvType(std::string_view text) {
  const auto type = ParseDType(text);
  if (type.has_value() && type.value() != DType::kBF16) return type.value();
  return Fail(Errc::kInvalidArgument, "--kv-type {}: use f32, f16 or q8", text);
}

Result<EngineOptions> RunOptions::ToEngineOptions() const {
  EngineOptions options;
  options.trace = recorder_;
  options.timeline = timeline_;
  options.read_ahead = read_ahead;
  CAIRN_TRY(options.host_bytes, SizeOr(host_memory, "--host-memory", options.host_bytes));
  CAIRN_TRY(options.compute_bytes, SizeOr(compute_memory, "--compute-memory", 0));
  CAIRN_TRY(options.device, ParseDevice(device.value_or("cpu")));
  return options;
}

Result<std::vector<AdapterSource>> RunOptions::AdapterSources() const {
  std::vector<AdapterSource> sources;
  for (const std::string& text : adapters) {
    CAIRN_TRY(auto source, ParseAdapterSource(text));
    sources.push_back(std::move(source));
  }
  return sources;
}

Result<std::unique_ptr<LoadedModel>> RunOptions::OpenModel() const {
  CAIRN_TRY(auto sources, AdapterSources());
  return LoadedModel::Open(model, sources);
}

Result<uint64_t> RunOptions::DiskLimit() const { return SizeOr(disk_limit, "--disk-limit", 0); }

Status RunOptions::CheckCertificate() const {
  if (audit && !certify) {
    return Fail(Errc::kInvalidArgument, "--audit goes with --certify; add it");
  }
  if (mass_by.has_value() && !mass_target.has_value()) {
    return Fail(Errc::kInvalidArgument, "--mass-by goes with --mass-target; add it");
  }
  if (mass_by.has_value() && *mass_by != "bound" && *mass_by != "estimate") {
    return Fail(Errc::kInvalidArgument, "--mass-by {}: use estimate or bound", *mass_by);
  }
  if (mass_target.has_value() && !(*mass_target > 0 && *mass_target < 1)) {
    return Fail(Errc::kInvalidArgument, "--mass-target {}: use a share between 0 and 1",
                *mass_target);
  }
  return Ok();
}

Status RunOptions::RefuseUnmodifiedOptions() const {
  for (const auto& [given, flag] : {std::pair(block_tokens, "--block-tokens"),
                                    {sinks, "--sinks"},
                                    {recent, "--recent"},
                                    {representatives, "--representatives"},
                                    {sketches ? std::optional(1) : std::nullopt, "--sketches"}}) {
    if (!given.has_value()) continue;
    return Fail(Errc::kInvalidArgument,
                "{} is for unmodified models; the landmark adapter decides it", flag);
  }
  return Ok();
}

Result<SessionProfile> RunOptions::NewProfile(const LoadedModel& loaded) const {
  SessionProfile profile;
  profile.model_path = Remembered(loaded.file().path());
  profile.model_fingerprint = loaded.file().Fingerprint();
  for (const Adapter& adapter : loaded.adapters().adapters()) {
    profile.adapters.push_back(
        {Remembered(adapter.path()), adapter.Fingerprint(), adapter.user_scale()});
  }
  if (const LandmarkInfo* landmark = loaded.landmark()) {
    CAIRN_TRY(RefuseUnmodifiedOptions());
    profile.mode = AttentionMode::kLandmark;
    profile.block_tokens = landmark->regular_tokens;
    profile.representatives = 1;
    CAIRN_TRY(profile.selection, ParseSelection(landmark->selection));
  } else {
    ShapeBlocks(&profile);
  }
  CAIRN_TRY(ShapeReading(&profile));
  return profile;
}

void RunOptions::ShapeBlocks(SessionProfile* profile) const {
  const bool landmark = profile->mode == AttentionMode::kLandmark;
  profile->block_tokens = block_tokens.value_or(landmark ? 63 : 64);
  const int usual = landmark ? 1 : std::max(1, profile->block_tokens / 16);
  profile->representatives = representatives.value_or(usual);
}

Status RunOptions::ShapeReading(SessionProfile* profile) const {
  if (kv_type.has_value()) {
    CAIRN_TRY(profile->kv_type, ParseKvType(*kv_type));
  }
  profile->chunk = chunk.value_or(profile->chunk);
  if (profile->chunk < 2) return Fail(Errc::kInvalidArgument, "--chunk {}: use 2 or more", *chunk);
  if (selection.has_value()) {
    CAIRN_TRY(profile->selection, ParseSelection(*selection));
  }
  return Ok();
}

Status RunOptions::CheckAgainst(const SessionProfile& profile) const {
  const bool adapter = profile.mode == AttentionMode::kLandmark && profile.caller.empty();
  if (adapter) CAIRN_TRY(RefuseUnmodifiedOptions());
  if (block_tokens.has_value()) {
    CAIRN_TRY(Differs("--block-tokens", std::to_string(*block_tokens),
                      std::to_string(profile.block_tokens)));
  }
  if (representatives.has_value()) {
    CAIRN_TRY(Differs("--representatives", std::to_string(*representatives),
                      std::to_string(profile.representatives)));
  }
  if (kv_type.has_value()) {
    CAIRN_TRY(Differs("--kv-type", *kv_type, std::string(DTypeName(profile.kv_type))));
  }
  if (chunk.has_value()) {
    CAIRN_TRY(Differs("--chunk", std::to_string(*chunk), std::to_string(profile.chunk)));
  }
  if (selection.has_value()) {
    CAIRN_TRY(auto given, ParseSelection(*selection));
    CAIRN_TRY(Differs("--selection", std::string(SelectionName(given)),
                      std::string(SelectionName(profile.selection))));
  }
  return Ok();
}

Result<SessionOptions> RunOptions::ToSessionOptions(const SessionProfile& profile) const {
  SessionOptions options;
  const bool landmark = profile.mode == AttentionMode::kLandmark;
  options.retrieve =
      retrieve.value_or(landmark ? kDefaultRetrieveLandmark : kDefaultRetrieveUnmodified);
  options.sinks = sinks.value_or(options.sinks);
  options.recent_tokens = recent.value_or(options.recent_tokens);
  options.query_stride = query_stride.value_or(options.query_stride);
  options.max_step_rows = profile.chunk;
  options.selection = profile.selection;
  if (index.has_value()) {
    CAIRN_TRY(options.index, ParseIndexKind(*index));
  }
  CAIRN_TRY(CheckCertificate());
  options.keep_sketches = sketches;
  options.mass_target = mass_target.value_or(0);
  options.mass_by = mass_by == "bound" ? MassBy::kBound : MassBy::kEstimate;
  return options;
}

}  // namespace cairn
