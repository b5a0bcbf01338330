#include "tools/flags.h"

#include <fmt/core.h>

#include "base/byte_size.h"
#include "storage/access_trace.h"
#include "tools/metrics_server.h"
#include "tools/text_file.h"

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

/// An option of one value, or of a list with commas into `several`, which may be null.
template <class T>
void AddOneOrSeveral(CLI::App& app, const char* flag, std::string type, std::optional<T>& one,
                     std::vector<T>* several, const char* help) {
  if (several == nullptr) {
    app.add_option(flag, one, help)->type_name(type);
  } else {
    app.add_option(flag, *several, help)
        ->type_name(type + "[," + type + "...]")
        ->delimiter(',')
        ->allow_extra_args(false);
  }
}

constexpr int kDefaultRetrieveLandmark = 8;
constexpr int kDefaultRetrieveUnmodified = 16;

}  // namespace

Status AtLeastOne(const char* flag, int64_t value) {
  if (value >= 1) return Ok();
  return Fail(Errc::kInvalidArgument, "{} {}: use 1 or more", flag, value);
}

Result<DType> ParseKvType(std::string_view text) {
  const auto type = ParseDType(text);
  if (type.has_value() && type.value() != DType::kBF16) return type.value();
  return Fail(Errc::kInvalidArgument, "--kv-type {}: use f32, f16 or q8", text);
}

void Flags::AddOutput(CLI::App& app) {
  app.add_flag("--json", json, "One JSON document on stdout instead of text");
  app.add_flag("--quiet", quiet, "No progress and no reports on stderr");
  app.add_option("--threads", threads, "Cores to use (default: all this process may)")
      ->type_name("N");
}

void Flags::AddMemory(CLI::App& app) {
  app.add_option("--host-memory", host_memory,
                 "Memory for blocks in the host tier (default 512MiB)")
      ->type_name("SIZE");
  app.add_option("--compute-memory", compute_memory,
                 "Memory for a compute tier of its own (default 0: attend in the host tier)")
      ->type_name("SIZE");
  app.add_flag("--read-ahead", read_ahead,
               "Read the next layer's likely blocks while a layer is computed");
  app.add_option("--disk-limit", disk_limit, "Most the store may occupy (default: no limit)")
      ->type_name("SIZE");
}

void Flags::AddTrace(CLI::App& app) {
  app.add_option("--trace", trace, "Record every access to blocks, for `cairn bench cache`")
      ->type_name("FILE");
  app.add_option("--perfetto", perfetto, "Write what took how long, for ui.perfetto.dev")
      ->type_name("FILE");
}

void Flags::AddMetrics(CLI::App& app) {
  app.add_option("--metrics-port", metrics_port,
                 "Serve counters for Prometheus on this port of 127.0.0.1 (0: any that is free)")
      ->type_name("PORT");
}

void Flags::AddStore(CLI::App& app, bool required) {
  auto* store_option = app.add_option("--store", store, "Directory of the store")->type_name("DIR");
  auto* session_option = app.add_option("--session", session,
                                        "Name of the session (letters, "
                                        "digits, '.', '_', '-')")
                             ->type_name("NAME");
  if (required) {
    store_option->required();
    session_option->required();
  }
}

void Flags::AddModel(CLI::App& app, bool required) {
  auto* option = app.add_option("--model", model, "Model as a GGUF file")->type_name("FILE");
  if (required) option->required();
  app.add_option("--adapter", adapters,
                 "LoRA adapter as a GGUF file, with its scale (default 1); may be repeated")
      ->type_name("FILE[=SCALE]")
      ->allow_extra_args(false);
}

void Flags::AddRetrieval(CLI::App& app, std::vector<int>* retrieve_list) {
  AddOneOrSeveral(app, "--retrieve", "K", retrieve, retrieve_list,
                  "Blocks chosen per KV head (default 8 with landmarks, 16 without)");
  app.add_option("--sinks", sinks, "First blocks always attended, without landmarks (default 1)")
      ->type_name("BLOCKS");
  app.add_option("--recent", recent,
                 "Tokens before a step always attended, without landmarks (default 512)")
      ->type_name("TOKENS");
  app.add_option("--query-stride", query_stride,
                 "A shared choice looks at every N-th row of a step (default 1)")
      ->type_name("N");
  app.add_option("--index", index,
                 "Landmark search: auto, exact, int8, lists or faiss (default auto)")
      ->type_name("KIND");
  app.add_flag("--far-field", far_field,
               "The mean of their values stands in for blocks that are not read");
}

void Flags::AddCertificate(CLI::App& app) {
  app.add_flag("--certify", certify,
               "Tell for each token how much attention blocks that were not read may have had");
  app.add_flag("--audit", audit, "With --certify: read those blocks too, and tell how much it was");
  app.add_option("--mass-target", mass_target,
                 "Choose more blocks until every head gives this share of its attention to what "
                 "it reads, e.g. 0.95")
      ->type_name("SHARE");
  app.add_option("--mass-by", mass_by,
                 "What --mass-target goes by: estimate or bound (default estimate)")
      ->type_name("WHAT");
}

Status Flags::CheckCertificate() const {
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

void Flags::AddRun(CLI::App& app) {
  AddShape(app);
  AddRetrieval(app);
  AddTrace(app);
  AddMemory(app);
  AddOutput(app);
}

void Flags::AddShape(CLI::App& app, std::vector<std::string>* selection_list) {
  app.add_option("--block-tokens", block_tokens,
                 "Tokens in a block, without landmarks (default 64)")
      ->type_name("TOKENS");
  app.add_option("--representatives", representatives,
                 "Vectors standing for a block, without landmarks (default: one per 16 tokens)")
      ->type_name("N");
  app.add_option("--kv-type", kv_type,
                 "Stored keys and values: f32, f16 or q8, a byte each (default f16)")
      ->type_name("TYPE");
  app.add_option("--chunk", chunk, "Rows read in one step (default 256)")->type_name("ROWS");
  AddOneOrSeveral(app, "--selection", "MODE", selection, selection_list,
                  "Who shares a choice while reading: per-token, per-chunk or "
                  "per-token-shared-heads (default per-chunk; questions and answers: per-token)");
}

Status Flags::Apply() const {
  if (!threads.has_value()) return Ok();
  if (*threads < 1 || *threads > 1024) {
    return Fail(Errc::kInvalidArgument, "--threads {}: use 1 to 1024", *threads);
  }
  SetThreads(*threads);
  return Ok();
}

Status Flags::WithMetrics(FunctionRef<Status()> body) {
  if (!metrics_port.has_value()) return body();
  RunMetrics metrics(*timeline_);
  CAIRN_TRY(const auto server, MetricsServer::Start(metrics, *metrics_port));
  if (!quiet || *metrics_port == 0) {
    fmt::print(stderr, "metrics on http://127.0.0.1:{}/metrics\n", server->port());
  }
  metrics_ = &metrics;
  const Status done = body();
  metrics_ = nullptr;
  return done;
}

Status Flags::WithTimeline(FunctionRef<Status()> body) {
  if (!perfetto.has_value() && !metrics_port.has_value()) return body();
  if (perfetto.has_value()) CAIRN_TRY(CheckTarget(*perfetto));
  Timeline timeline({.slices = perfetto.has_value(), .latencies = metrics_port.has_value()});
  timeline_ = &timeline;
  const Status done = WithMetrics(body);
  timeline_ = nullptr;
  if (!perfetto.has_value()) return done;
  if (!done.has_value() && timeline.size() == 0) return done;  // an older file stays
  const Status written = WriteTextAtomically(*perfetto, timeline.ToJson());
  return done.has_value() ? written : done;
}

Status Flags::Traced(FunctionRef<Status()> inner) {
  const auto body = [&] { return WithTimeline(inner); };
  if (!trace.has_value()) return body();
  CAIRN_TRY(const auto recorder, AccessTrace::Create(*trace));
  recorder_ = recorder.get();
  const Status done = body();
  recorder_ = nullptr;
  if (!done.has_value() && recorder->empty()) return done;  // an older trace stays
  const Status written = recorder->Finish();
  return done.has_value() ? written : done;
}

Result<EngineOptions> Flags::ToEngineOptions() const {
  EngineOptions options;
  options.trace = recorder_;
  options.timeline = timeline_;
  options.read_ahead = read_ahead;
  CAIRN_TRY(options.host_bytes, SizeOr(host_memory, "--host-memory", options.host_bytes));
  CAIRN_TRY(options.compute_bytes, SizeOr(compute_memory, "--compute-memory", 0));
  return options;
}

Result<std::vector<AdapterSource>> Flags::AdapterSources() const {
  std::vector<AdapterSource> sources;
  for (const std::string& text : adapters) {
    CAIRN_TRY(auto source, ParseAdapterSource(text));
    sources.push_back(std::move(source));
  }
  return sources;
}

Result<std::unique_ptr<LoadedModel>> Flags::OpenModel() const {
  CAIRN_TRY(auto sources, AdapterSources());
  return LoadedModel::Open(model, sources);
}

Result<uint64_t> Flags::DiskLimit() const { return SizeOr(disk_limit, "--disk-limit", 0); }

Status Flags::RefuseUnmodifiedOptions() const {
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

Result<SessionProfile> Flags::NewProfile(const LoadedModel& loaded) const {
  SessionProfile profile;
  profile.model_path = loaded.file().path();
  profile.model_fingerprint = loaded.file().Fingerprint();
  for (const Adapter& adapter : loaded.adapters().adapters()) {
    profile.adapters.push_back({adapter.path(), adapter.Fingerprint(), adapter.user_scale()});
  }
  if (const LandmarkInfo* landmark = loaded.landmark()) {
    CAIRN_TRY(RefuseUnmodifiedOptions());
    profile.mode = AttentionMode::kLandmark;
    profile.block_tokens = landmark->regular_tokens;
    profile.representatives = 1;
    CAIRN_TRY(profile.selection, ParseSelection(landmark->selection));
  } else {
    profile.block_tokens = block_tokens.value_or(64);
    profile.representatives = representatives.value_or(std::max(1, profile.block_tokens / 16));
  }
  if (kv_type.has_value()) {
    CAIRN_TRY(profile.kv_type, ParseKvType(*kv_type));
  }
  profile.chunk = chunk.value_or(profile.chunk);
  if (profile.chunk < 2) return Fail(Errc::kInvalidArgument, "--chunk {}: use 2 or more", *chunk);
  if (selection.has_value()) {
    CAIRN_TRY(profile.selection, ParseSelection(*selection));
  }
  return profile;
}

Status Flags::CheckAgainst(const SessionProfile& profile) const {
  if (profile.mode == AttentionMode::kLandmark) CAIRN_TRY(RefuseUnmodifiedOptions());
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

Result<SessionOptions> Flags::ToSessionOptions(const SessionProfile& profile) const {
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
  options.far_field = far_field;
  options.mass_target = mass_target.value_or(0);
  options.mass_by = mass_by == "bound" ? MassBy::kBound : MassBy::kEstimate;
  return options;
}

}  // namespace cairn
