// AnswerOrder: what is asked of whom, and how it should be answered.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cairn {

/// What was said, by a user or by the model.
struct Turn {
  bool by_model = false;
  std::string text;
  std::string system = {};  ///< what a system said in front of a user; empty if nothing
};

struct AnswerOrder {
  std::string session;
  std::vector<Turn> turns;  ///< the last is a user's
  int64_t max_tokens = 256;
  float temperature = 0;
  uint64_t seed = 0;
  std::vector<std::string> stop;  ///< the answer ends in front of the first of them
  bool why = false;               ///< find out too what it was read from
};

}  // namespace cairn
