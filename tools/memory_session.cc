#include "tools/memory_session.h"

#include "storage/memory_cold_store.h"

namespace cairn {

Result<std::unique_ptr<MemorySession>> MemorySession::Make(LoadedModel& model,
                                                           const SessionProfile& profile,
                                                           const SessionOptions& options,
                                                           const EngineOptions& engine_options) {
  std::unique_ptr<MemorySession> made(new MemorySession);
  CAIRN_TRY(made->engine_, Engine::Open(std::make_unique<MemoryColdStore>(), engine_options));
  const SessionShape shape = profile.Shape(model.llama().config(), model.landmark());
  CAIRN_TRY(made->session_,
            made->engine_->CreateSession("memory", shape, options, profile.ToJson()));
  made->attention_ = std::make_unique<SessionAttention>(*made->session_);
  made->runner_ =
      std::make_unique<Runner>(model.llama(), *made->attention_, model.landmark(), profile.chunk);
  return made;
}

}  // namespace cairn
