// Sessions for tests on a device: small ones of both modes.
#pragma once

#include "engine/engine.h"
#include "tests/engine/session_problem.h"

namespace cairn::test {

inline constexpr int32_t kLayers = 2;
inline constexpr int32_t kBlockRows = 4;

inline SessionShape ShapeOf(AttentionMode mode, DType dtype) {
  SessionShape shape = MakeShape(mode, kLayers, 4, 2,
                                 {kBlockRows, mode == AttentionMode::kLandmark ? 8 : 16, dtype});
  if (mode == AttentionMode::kUnmodified) shape.rope_style = RopeStyle::kInterleaved;
  return shape;
}

inline SessionOptions OptionsOf(Selection selection) {
  SessionOptions options;
  options.retrieve = 3;
  options.recent_tokens = 8;
  options.max_step_rows = 20;
  options.selection = selection;
  return options;
}

inline EngineOptions OnDevice(uint64_t compute_bytes) {
  return {.host_bytes = 8 << 20, .compute_bytes = compute_bytes, .device = 0};
}

}  // namespace cairn::test
