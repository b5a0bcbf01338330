// EvalSettings: what an evaluation is asked to do. Together with the session's options they decide
// every answer, so results of other settings are not gone on with.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tools/flags.h"
#include "tools/planted_text.h"

namespace cairn {

/// Tokens of "2k" (k = 1,024), "1M" (M = 1,048,576) or a plain number; kInvalidArgument otherwise.
Result<int64_t> ParseLength(std::string_view text);

struct EvalSettings {
  std::vector<int64_t> lengths;  ///< of texts in tokens, opening included
  int64_t samples = 20;          ///< texts of each length
  PlantingPlan plan;
  bool paper = false;       ///< the paper's filler in place of passages of a text
  std::string text_hash;    ///< of the text the passages are of; empty with `paper`
  std::string preface;      ///< in front of every text
  std::string question;     ///< in place of a fact's own; empty: none
  int64_t max_tokens = 32;  ///< longest answer
  bool why = false;         ///< find out where `cairn why` names each fact

  /// kInvalidArgument naming the option that cannot be.
  Status Validate() const;
  /// These settings and those of the sessions, by the names of their options.
  nlohmann::json ToJson(const SessionProfile& profile, const SessionOptions& options) const;
};

/// How blocks are found, in one line.
std::string DescribeMode(const SessionProfile& profile, const SessionOptions& options);

}  // namespace cairn
