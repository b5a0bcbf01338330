// PlantedFact: a fact to be hidden in a text, the question for it, and the verdict on an answer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace cairn {

/// kPasskey: pass keys only. kFacts: kinds of facts in turn, some of which need two look-ups.
enum class EvalTask : uint8_t { kPasskey, kFacts };

std::string_view EvalTaskName(EvalTask task);

struct PlantedFact {
  std::string kind;  ///< "passkey"; "code", "phone", "city", "color", "coins", "chain"
  std::vector<std::string>
      sentences;  ///< one, or two that are to stand apart; the last has the value
  std::string question;
  std::string value;  ///< what a right answer says
};

/// The most facts one text can hold without two of them sharing a subject.
int MostFacts(EvalTask task);

/// The facts of text number `text` of a length, each about another subject. Equal arguments, equal
/// facts. Over the texts of a length all kinds come equally often. `count` is at most MostFacts.
std::vector<PlantedFact> DrawFacts(EvalTask task, uint64_t seed, int64_t length, int64_t text,
                                   int count);

struct Verdict {
  bool right = false;     ///< the value is there, and nothing that it could be mistaken for
  bool contains = false;  ///< the value is there
};

/// A number is right if it is the only run of digits in the answer; a city or color if it occurs as
/// a word, in any case, and no other city or color does.
Verdict Judge(const PlantedFact& fact, std::string_view answer);

}  // namespace cairn
