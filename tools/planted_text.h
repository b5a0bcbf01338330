// PlantedText: a long text of an exact number of tokens with facts hidden at known depths, and the
// TextPlanter that makes it. Equal settings make equal texts.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "model/tokenizer.h"
#include "tools/filler.h"
#include "tools/planted_fact.h"

namespace cairn {

/// Tokens [first, end) of a text, which hold one sentence on a line of its own.
struct Place {
  int64_t first = 0;
  int64_t end = 0;
};

struct Planting {
  PlantedFact fact;
  std::vector<Place> places;  ///< of the fact's sentences
  int bin = 0;                ///< the depth bin that the last sentence begins in
  double depth = 0;           ///< its first token over the text's tokens
};

struct PlantedText {
  std::vector<uint32_t> tokens;
  std::vector<Planting> plantings;  ///< shallowest first
};

struct PlantingPlan {
  EvalTask task = EvalTask::kPasskey;
  int depths = 5;  ///< bins of equal width
  int facts = 5;   ///< in a text: a multiple of `depths`, or 1 that takes one bin after the other
  uint64_t seed = 1;
};

class TextPlanter {
 public:
  /// `opening` stands in front of every text and counts as part of it. `tokenizer` and `filler`,
  /// which is not empty, must outlive the planter.
  TextPlanter(const Tokenizer& tokenizer, const Filler& filler, std::vector<uint32_t> opening,
              const PlantingPlan& plan)
      : tokenizer_(tokenizer), filler_(filler), opening_(std::move(opening)), plan_(plan) {}

  /// Text number `text` of those with `length` tokens. kInvalidArgument if the facts do not fit.
  Result<PlantedText> Make(int64_t length, int64_t text) const;

  /// Whether texts of `length` tokens repeat parts of the filler.
  bool Repeats(int64_t length) const {
    return length - static_cast<int64_t>(opening_.size()) > filler_.size();
  }

 private:
  struct Sentence;
  std::vector<Sentence> Arrange(const std::vector<Planting>& plantings, int64_t length,
                                int64_t text) const;
  std::vector<uint32_t> Line(const std::string& sentence, Border border) const;

  const Tokenizer& tokenizer_;
  const Filler& filler_;
  std::vector<uint32_t> opening_;
  PlantingPlan plan_;
};

}  // namespace cairn
