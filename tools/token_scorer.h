// TokenScorer: how well a model predicts tokens, as −log p of each in nats.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/error.h"
#include "model/llama.h"
#include "model/runner.h"

namespace cairn {

class TokenScorer {
 public:
  /// Called before every step with how many tokens were fed; an error ends the scoring.
  using BeforeStep = std::function<Status(int64_t fed)>;

  /// `model` must outlive it.
  explicit TokenScorer(Llama& model) : model_(model) {}

  /// Feeds all of `tokens` but the last to `runner`, a runner of the same model, in its steps, and
  /// appends the losses of tokens[first], tokens[first + 1] … to `losses`; 1 ≤ first < |tokens|.
  Status Score(Runner& runner, std::span<const uint32_t> tokens, int64_t first,
               const BeforeStep& before_step, std::vector<float>* losses);

 private:
  /// Appends the losses of `next`, predicted by the last step's tokens from number `begin` on.
  Status ScoreStep(const Runner& runner, int64_t begin, std::span<const uint32_t> next,
                 std::vector<float>* losses);

  Llama& model_;
  std::vector<float> rows_, logits_;
};

}  // namespace cairn
