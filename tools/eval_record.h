// EvalRecord: what happened with one text of an evaluation: how it was read, what was asked and
// answered. One line of results.jsonl.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace cairn {

struct EvalAnswer {
  std::string kind;
  int bin = 0;
  double depth = 0;                ///< 0 to 1
  std::vector<int64_t> positions;  ///< first token of each sentence of the fact
  std::string question;
  std::string value;  ///< what is right
  std::string answer;
  bool right = false;
  bool contains = false;
  int64_t question_tokens = 0;
  int64_t answer_tokens = 0;
  double seconds_to_first = 0;
  double seconds_per_token = 0;
  /// With --why: where the first passage with a token of the fact's last sentence stands among all,
  /// from 1; 0 if none is there.
  std::optional<int64_t> passage_rank;
};

/// Counts of one tier, of reading and asking together.
struct EvalTier {
  std::string tier;
  uint64_t fetched_blocks = 0;
  uint64_t hit_blocks = 0;
  uint64_t bytes_in = 0;
};

struct EvalRecord {
  int64_t length = 0;
  int64_t text = 0;         ///< number among the texts of this length
  std::string hash;         ///< of the text's tokens
  int64_t tokens = 0;       ///< the session had after reading
  int64_t tokens_read = 0;  ///< by the run that finished it; the rest was read before a stop
  double seconds = 0;       ///< of reading those
  uint64_t stored_bytes = 0;
  std::vector<EvalAnswer> answers;
  std::vector<EvalTier> tiers;  ///< fastest first

  nlohmann::json ToJson() const;
  /// kCorruption if `json` is no record.
  static Result<EvalRecord> FromJson(const nlohmann::json& json);
};

}  // namespace cairn
