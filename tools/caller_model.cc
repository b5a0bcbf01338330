#include "tools/caller_model.h"

#include <cmath>

#include "base/hash.h"

namespace cairn {

Status CallerModel::Check() const {
  if (name.empty()) {
    return Fail(Errc::kInvalidArgument, "option model-name is not given; name the model");
  }
  for (const auto& [number, option] : {std::pair(layers, "layers"),
                                       {query_heads, "query-heads"},
                                       {kv_heads, "kv-heads"},
                                       {context, "context"}}) {
    if (number >= 1) continue;
    return Fail(Errc::kInvalidArgument, "option {} is {}; say how many {} has", option,
                number == 0 ? "not given" : std::to_string(number), name);
  }
  if (!std::isfinite(scale) || scale < 0) {
    return Fail(Errc::kInvalidArgument, "option scale {}: use a number above 0", scale);
  }
  for (const double frequency : inverse_frequencies) {
    if (std::isfinite(frequency)) continue;
    return Fail(Errc::kInvalidArgument, "a rotary frequency is {}", frequency);
  }
  return Ok();
}

std::string CallerModel::Fingerprint() const {
  Hasher hasher;
  hasher.Update(name);
  const auto style = static_cast<uint8_t>(rope_style);
  hasher.Update(&style, sizeof(style));
  hasher.Update(&scale, sizeof(scale));
  hasher.Update(inverse_frequencies.data(), inverse_frequencies.size() * sizeof(double));
  return hasher.Hex();
}

Result<SessionProfile> CallerModel::NewProfile(const RunOptions& run) const {
  SessionProfile profile;
  profile.caller = name;
  profile.model_fingerprint = Fingerprint();
  profile.mode = mode;
  profile.raw = true;
  run.ShapeBlocks(&profile);
  CAIRN_TRY(run.ShapeReading(&profile));
  return profile;
}

Status CallerModel::CheckAgainst(const std::string& session, const SessionProfile& profile) const {
  if (profile.caller.empty()) {
    return Fail(Errc::kMismatch,
                "session '{}' was made with the model {}, which cairn runs itself; open it with "
                "that, or use another name",
                session, profile.model_path);
  }
  if (profile.mode == mode && profile.model_fingerprint == Fingerprint()) return Ok();
  return Fail(Errc::kMismatch,
              "session '{}' was made with the model '{}' (mode {}, fingerprint {}), not '{}' ({}, "
              "{}); give the same name, mode, rotary embedding and scale",
              session, profile.caller, AttentionModeName(profile.mode), profile.model_fingerprint,
              name, AttentionModeName(mode), Fingerprint());
}

SessionShape CallerModel::Shape(const SessionProfile& profile) const {
  LlamaConfig config;
  config.layers = layers;
  config.query_heads = query_heads;
  config.kv_heads = kv_heads;
  config.head_dim = static_cast<int32_t>(2 * inverse_frequencies.size());
  config.context = context;
  config.rope_style = rope_style;
  config.inverse_frequencies = inverse_frequencies;
  SessionShape shape = profile.Shape(config, nullptr);
  shape.scale = scale;
  return shape;
}

}  // namespace cairn
