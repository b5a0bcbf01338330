// Passages: what of a session an answer was read from, found in the log of the steps that made it.
//
// Most of what heads look at serves every token alike: the beginning of the text, what stands just
// before. A passage counts for what heads gave it beyond that, at the tokens that carry the answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/options.h"
#include "engine/step_log.h"

namespace cairn {

/// Which tokens of a session are the answer.
struct AnswerPlace {
  int64_t first_asked = 0;      ///< the question's first token in the session
  int64_t first_token = 0;      ///< in the session; it follows from the row before
  std::vector<double> weights;  ///< of each token of the answer: how much it says, 0 to 1
  bool from_landmarks = false;  ///< see PredictedBy
};

struct Passage {
  int64_t block = 0;     ///< ordinal in the session
  double share = 0;      ///< of what all passages count for, 0 to 1
  double attention = 0;  ///< of the answer's rows, in all layers and heads: mean, 0 to 1
  int64_t times = 0;     ///< it was read, over the answer's tokens, layers and KV heads
  /// Where a head gave it most beyond the usual, and how much of its attention that was.
  int64_t token = 0;  ///< of the answer
  int32_t layer = 0;
  int32_t head = 0;
  double top_share = 0;
};

/// The session's token that `row` is of; a landmark counts to the token in front of it.
int64_t TokenOfRow(const SessionShape& shape, int64_t row);
/// The session's token that is predicted from `row`. Of the last token of a block and the landmark
/// behind it, it is the landmark if the model was trained so (LandmarkInfo::in_loss), or else the
/// token; nothing is predicted from the other: nullopt.
std::optional<int64_t> PredictedBy(const SessionShape& shape, bool from_landmarks, int64_t row);
/// Of the answer's tokens the one that is predicted from `row`, or nullopt.
std::optional<int64_t> AnswerTokenOf(const SessionShape& shape, const AnswerPlace& answer,
                                     int64_t row);

/// How much each token of an answer says, given their texts: 1 for numbers and words that begin in
/// upper case, less for other words, next to nothing for words of the question, 0 for signs.
std::vector<double> TokenWeights(const std::vector<std::string>& texts,
                                 const std::string& question);

/// All blocks that were read for the answer, most first. A log without the answer's rows gives
/// none.
std::vector<Passage> RankPassages(const StepLog& log, const SessionShape& shape,
                                  const AnswerPlace& answer);

}  // namespace cairn
