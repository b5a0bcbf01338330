// Flags: what the subcommands of `cairn` share on the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "tools/run_options.h"

namespace cairn {

/// kInvalidArgument naming the flag if `value` is below 1.
Status AtLeastOne(const char* flag, int64_t value);
/// RunOptions as words of a command line, and what concerns the command itself.
struct Flags : RunOptions {
  bool json = false;
  bool quiet = false;
  std::optional<int> threads, metrics_port;
  std::optional<std::string> trace, perfetto;

  /// --json, --quiet, --threads.
  void AddOutput(CLI::App& app);
  /// --host-memory, --compute-memory, --device, --disk-limit, --read-ahead.
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

  /// Applies --threads; call once, before any work.
  Status Apply() const;
  /// Runs `body`; with --trace, --perfetto or --metrics-port, every session opened in it is
  /// watched, also if it fails.
  Status Traced(FunctionRef<Status()> body);

 private:
  Status WithTimeline(FunctionRef<Status()> body);
  Status WithMetrics(FunctionRef<Status()> body);
};

}  // namespace cairn
