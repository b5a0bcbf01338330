// What the opaque handles of cairn.h are.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "capi/cairn.h"
#include "engine/engine.h"
#include "tools/caller_model.h"
#include "tools/loaded_model.h"
#include "tools/run_options.h"
#include "tools/workspace.h"

struct cairn_options {
  cairn::RunOptions run;
  bool raw = false;
  cairn::CallerModel caller;  ///< of a past; without its frequencies
};

struct cairn_store {
  cairn::RunOptions run;  ///< with the store's directory
  bool read_only = false;
  std::optional<int32_t> device;  ///< none: the CPU
  std::unique_ptr<cairn::Engine> engine;
  std::set<std::string> open_sessions;
};

struct cairn_model {
  std::unique_ptr<cairn::LoadedModel> loaded;
  std::optional<int32_t> device;  ///< where its weights are; none: here
  int sessions = 0;               ///< that use it
};

struct cairn_session {
  cairn_store* store = nullptr;
  cairn_model* model = nullptr;
  std::string name;
  std::unique_ptr<cairn::Workspace> workspace;
};

struct cairn_past {
  cairn_store* store = nullptr;
  std::string name;
  cairn::SessionProfile profile;
  std::unique_ptr<cairn::Session> session;
  int32_t step_rows = 0;       ///< 0: no step is open
  std::vector<bool> attended;  ///< layers, in the open step
};

namespace cairn::capi {

/// Deletes a session that was being made and did not come to be.
Status TakeBack(SessionCatalog& catalog, const std::string& name);
/// kInvalidArgument or kBusy if no session of this name can be opened in the store now.
Status CheckCanOpen(const cairn_store& store, const char* name);
/// What the functions that read tokens do.
Status CopyTokens(const Session& session, uint64_t first, uint32_t* tokens, size_t capacity,
                  size_t* count);

/// kInvalidArgument naming the first that the model does not have.
Status CheckTokens(const cairn_model& model, std::span<const uint32_t> tokens);

}  // namespace cairn::capi
