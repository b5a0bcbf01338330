// CallerModel: a model that another program runs, which hands queries, keys and values over and
// wants attention back. This is all that is known of it.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "engine/options.h"
#include "tools/run_options.h"
#include "tools/session_profile.h"

namespace cairn {

struct CallerModel {
  std::string name;  ///< what its sessions are told apart by, and people see
  int layers = 0, query_heads = 0, kv_heads = 0;
  int context = 0;  ///< rows it was trained on
  AttentionMode mode = AttentionMode::kUnmodified;
  RopeStyle rope_style = RopeStyle::kHalfSplit;
  float scale = 0;                          ///< of q·k; 0 means 1/√D
  std::vector<double> inverse_frequencies;  ///< D/2, radians per position

  /// kInvalidArgument naming what is missing or cannot be.
  Status Check() const;
  /// Covers all that attention depends on and a session does not store.
  std::string Fingerprint() const;
  /// A new session's profile: defaults and what `run` gives.
  Result<SessionProfile> NewProfile(const RunOptions& run) const;
  /// kMismatch if the session of this profile was made with another model, or by cairn's own.
  Status CheckAgainst(const std::string& session, const SessionProfile& profile) const;
  /// The shape of sessions of this profile.
  SessionShape Shape(const SessionProfile& profile) const;
};

}  // namespace cairn
