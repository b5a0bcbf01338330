// Conformance cases: small attention problems with known answers, run through the engine.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/options.h"

namespace cairn {

/// One head's un-rotated q, k, v [T, d] and the geometry they are meant for.
struct ConformInput {
  int32_t regular_tokens = 0;  ///< m; row i is a landmark iff i mod (m + 1) = m
  int32_t head_dim = 0;        ///< d, even
  int32_t rows = 0;            ///< T
  double rope_base = 10000;
  RopeStyle rope_style = RopeStyle::kHalfSplit;
  std::vector<float> q, k, v;
};

struct ConformCase {
  std::string name;
  int32_t retrieve = 0;
  int32_t chunk = 0;
  Selection selection = Selection::kPerToken;
  std::vector<std::vector<double>> expected;          ///< [T][d]
  std::vector<std::vector<int64_t>> expected_blocks;  ///< [T], or empty: not compared
};

struct ConformResult {
  std::string name;
  double max_error = 0;
  bool compares_blocks = false;
  bool selected_match = true;
  std::vector<std::vector<int64_t>> blocks;  ///< chosen, per row
};

/// Reads a conformance file (docs/cli.md describes it). kInvalidArgument names what is wrong.
Status ReadConformFile(const std::string& path, ConformInput* input,
                       std::vector<ConformCase>* cases);

/// Runs one case in f32 through an engine session over a memory store.
Result<ConformResult> RunConformCase(const ConformInput& input, const ConformCase& test);

}  // namespace cairn
