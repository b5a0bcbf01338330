// RunOptions: what a command, or a program, says of store, session and model, and what it becomes
// for the rooms below.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/options.h"
#include "tools/run_metrics.h"
#include "tools/session_profile.h"

namespace cairn {

/// What --device may say: the number of a device, or nothing for the CPU.
Result<std::optional<int32_t>> ParseDevice(std::string_view text);
/// What --kv-type may say.
Result<DType> ParseKvType(std::string_view text);

/// Values as given; an empty optional was not given. Errors name them as the command line does.
struct RunOptions {
  bool read_ahead = false;
  std::optional<std::string> host_memory, compute_memory, device, disk_limit;

  std::string store, session, model;
  std::vector<std::string> adapters;  ///< FILE or FILE=SCALE each
  std::optional<int> retrieve, chunk, block_tokens, sinks, recent, representatives, query_stride;
  std::optional<std::string> selection, kv_type, index;
  bool certify = false, audit = false, sketches = false;
  std::optional<float> mass_target;
  std::optional<std::string> mass_by;

  Result<EngineOptions> ToEngineOptions() const;
  Timeline* timeline() const { return timeline_; }
  /// What is served meanwhile; null if nothing is.
  RunMetrics* metrics() const { return metrics_; }
  /// The model of --model and --adapter, headers only.
  Result<std::unique_ptr<LoadedModel>> OpenModel() const;
  Result<std::vector<AdapterSource>> AdapterSources() const;
  /// Bytes of --disk-limit; 0 without.
  Result<uint64_t> DiskLimit() const;

  /// kInvalidArgument if something was given that means nothing without what was not.
  Status CheckCertificate() const;
  /// A new session's profile: defaults and what was given. Refuses options that a landmark adapter
  /// decides.
  Result<SessionProfile> NewProfile(const LoadedModel& model) const;
  /// The part of it that is as given, or as usual, for a model of either mode: step, element type
  /// and choice.
  Status ShapeReading(SessionProfile* profile) const;
  /// Blocks and representatives, which no adapter decides.
  void ShapeBlocks(SessionProfile* profile) const;
  /// kMismatch if something given contradicts what the session was made with.
  Status CheckAgainst(const SessionProfile& profile) const;
  /// Session options of one command; `selection` as in the profile.
  Result<SessionOptions> ToSessionOptions(const SessionProfile& profile) const;

 protected:
  // Who is told of what a run does; null: nobody.
  AccessTrace* recorder_ = nullptr;
  Timeline* timeline_ = nullptr;
  RunMetrics* metrics_ = nullptr;

 private:
  /// kInvalidArgument if an option was given that a landmark adapter decides.
  Status RefuseUnmodifiedOptions() const;
};

}  // namespace cairn
