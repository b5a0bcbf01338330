// RecallText: what `bench recall` reads: a text, or one with pass keys hidden in it that are asked
// for at its end.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "tools/loaded_model.h"

namespace cairn {

struct RecallText {
  std::vector<uint32_t> tokens;
  int64_t asked_from = 0;  ///< where questions and answers begin, which are all behind it
};

/// The first `tokens` tokens of `text`, and no question.
RecallText PlainRecallText(const LoadedModel& model, const std::string& text, int64_t tokens);

/// A text of `tokens` tokens, made from `text` as `cairn eval` makes it, with `facts` pass keys at
/// as many depths, in a user's turn. Then each question, and the sentence that was hidden as the
/// model's answer. kInvalidArgument if the facts do not fit; kUnsupported without a chat template.
Result<RecallText> PlantedRecallText(const LoadedModel& model, const std::string& text,
                                     int64_t tokens, int facts);

}  // namespace cairn
