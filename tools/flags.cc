#include "tools/flags.h"

#include <fmt/core.h>

#include "base/new_file.h"
#include "base/tell.h"
#include "storage/access_trace.h"
#include "tools/metrics_server.h"

namespace cairn {
namespace {

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

}  // namespace

Status AtLeastOne(const char* flag, int64_t value) {
  if (value >= 1) return Ok();
  return Fail(Errc::kInvalidArgument, "{} {}: use 1 or more", flag, value);
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
                 "Memory for a compute tier of its own (default 0: attend in the host tier; on a "
                 "device: half of what is free there)")
      ->type_name("SIZE");
  app.add_option(
         "--device", device,
         "Where the model runs, landmarks are and chosen blocks are attended: cpu, cuda:N, or "
         "auto: a GPU if there is one (default cpu)")
      ->type_name("NAME");
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
  app.add_option(
         "--index", index,
         "Landmark search: auto, exact, int8, lists or faiss, which with --device cuda:N is on "
         "the GPU as auto is (default auto)")
      ->type_name("KIND");
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
    Tell("metrics on http://127.0.0.1:{}/metrics\n", server->port());
  }
  metrics_ = &metrics;
  const Status done = body();
  metrics_ = nullptr;
  return done;
}

Status Flags::WithTimeline(FunctionRef<Status()> body) {
  if (!perfetto.has_value() && !metrics_port.has_value()) return body();
  if (perfetto.has_value()) CAIRN_TRY(NewFile::Check(*perfetto));
  Timeline timeline({.slices = perfetto.has_value(), .latencies = metrics_port.has_value()});
  timeline_ = &timeline;
  const Status done = WithMetrics(body);
  timeline_ = nullptr;
  if (!perfetto.has_value()) return done;
  if (!done.has_value() && timeline.size() == 0) return done;  // an older file stays
  const Status written = WriteNewFile(*perfetto, timeline.ToJson());
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

}  // namespace cairn
