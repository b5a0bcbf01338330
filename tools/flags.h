// Flags: what the subcommands of `cairn` share on the command line, and how it becomes options.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "engine/engine.h"
#include "engine/options.h"
#include "tools/run_metrics.h"
#include "tools/session_profile.h"

namespace cairn {

/// kInvalidArgument naming the flag if `value` is below 1.
Status AtLeastOne(const char* flag, int64_t value);
/// What --kv-type may say.
Result<DType> ParseKvType(std::string_view text);

/// Values as given; an empty optional was not given.
struct Flags {
  bool json = false;
  bool quiet = false;
  bool read_ahead = false;
  std::optional<int> threads, metrics_port;
  std::optional<std::string> host_memory, compute_memory, disk_limit, trace, perfetto;

  std::string store, session, model;
  std::vector<std::string> adapters;  ///< FILE or FILE=SCALE each
  std::optional<int> retrieve, chunk, block_tokens, sinks, recent, representatives, query_stride;
  std::optional<std::string> selection, kv_type, index;
  bool certify = false, audit = false, sketches = false, far_field = false;
  std::optional<float> mass_target;
  std::optional<std::string> mass_by;

  /// --json, --quiet, --threads.
  void AddOutput(CLI::App& app);
  /// --host-memory, --compute-memory, --disk-limit, --read-ahead.
  void AddMemory(CLI::App& app);
  /// --trace, --perfetto.
  void AddTrace(CLI::App& app);
  /// --metrics-port.
  void AddMetrics(CLI::App& app);
  /// --store and --session.
  void AddStore(CLI::App& app, bool required);
  /// --model and --adapter.
  void AddModel(CLI::App& app, bool required);
  /// --retrieve, --sinks, --recent, --query-stride, --index: how the past is used, per command.
  /// With `retrieve_list`, --retrieve takes numbers with commas between them, and puts them there.
  void AddRetrieval(CLI::App& app, std::vector<int>* retrieve_list = nullptr);
  /// Those of a run over a session: shape, retrieval, trace, memory and output.
  void AddRun(CLI::App& app);
  /// --certify, --audit, --mass-target, --mass-by: what an answer may have missed.
  void AddCertificate(CLI::App& app);
  /// --block-tokens, --representatives, --kv-type, --chunk, --selection: what a session keeps.
  /// `selection_list` as above.
  void AddShape(CLI::App& app, std::vector<std::string>* selection_list = nullptr);

  /// kInvalidArgument if something was given that means nothing without what was not.
  Status CheckCertificate() const;
  /// Applies --threads; call once, before any work.
  Status Apply() const;
  /// Runs `body`; with --trace, --perfetto or --metrics-port, every session opened in it is
  /// watched, also if it fails.
  Status Traced(FunctionRef<Status()> body);
  Result<EngineOptions> ToEngineOptions() const;
  Timeline* timeline() const { return timeline_; }
  /// What is served meanwhile; null without --metrics-port.
  RunMetrics* metrics() const { return metrics_; }
  /// The model of --model and --adapter, headers only.
  Result<std::unique_ptr<LoadedModel>> OpenModel() const;
  Result<std::vector<AdapterSource>> AdapterSources() const;
  /// Bytes of --disk-limit; 0 without.
  Result<uint64_t> DiskLimit() const;

  /// A new session's profile: defaults and what was given. Refuses options that a landmark adapter
  /// decides.
  Result<SessionProfile> NewProfile(const LoadedModel& model) const;
  /// kMismatch if something given contradicts what the session was made with.
  Status CheckAgainst(const SessionProfile& profile) const;
  /// Session options of one command; `selection` as in the profile.
  Result<SessionOptions> ToSessionOptions(const SessionProfile& profile) const;

 private:
  Status WithTimeline(FunctionRef<Status()> body);
  Status WithMetrics(FunctionRef<Status()> body);

  AccessTrace* recorder_ = nullptr;  // inside Traced
  Timeline* timeline_ = nullptr;     // inside Traced
  RunMetrics* metrics_ = nullptr;    // inside Traced
  /// kInvalidArgument if an option was given that a landmark adapter decides.
  Status RefuseUnmodifiedOptions() const;
};

}  // namespace cairn
