// MemorySession: an empty session that is kept in memory only, with the runner that feeds it. Cheap
// to make again: the model and its weights are the caller's.
#pragma once

#include <memory>

#include "base/error.h"
#include "engine/engine.h"
#include "model/runner.h"
#include "model/session_attention.h"
#include "tools/loaded_model.h"
#include "tools/session_profile.h"

namespace cairn {

class MemorySession {
 public:
  /// `model`, its weights loaded, must outlive the session.
  static Result<std::unique_ptr<MemorySession>> Make(LoadedModel& model,
                                                     const SessionProfile& profile,
                                                     const SessionOptions& options,
                                                     const EngineOptions& engine_options);

  Runner& runner() { return *runner_; }
  /// What the runner feeds; for a caller with a runner of its own, before anything was fed.
  AttentionBackend& attention() { return *attention_; }

 private:
  MemorySession() = default;

  // Declared so that what refers to another member is destroyed before it.
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<SessionAttention> attention_;
  std::unique_ptr<Runner> runner_;
};

}  // namespace cairn
