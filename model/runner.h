// Runner: feeds tokens to a model in steps, putting a landmark row after every m regular tokens
// where the model was trained for it, so that nobody above sees landmarks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "model/adapter.h"
#include "model/attention_backend.h"
#include "model/llama.h"
#include "model/sampler.h"

namespace cairn {

class Runner {
 public:
  /// `landmark` is null for models without; steps have at most `max_rows` ≥ 2 rows. `model` and
  /// `attention` must outlive the runner.
  Runner(Llama& model, AttentionBackend& attention, const LandmarkInfo* landmark, int32_t max_rows);

  /// How many of `tokens` the next step takes: as many as fit, never parting a token from the
  /// landmark row it is followed by. At least 1 if there are any.
  int64_t NextStep(std::span<const uint32_t> tokens) const;

  /// Runs `tokens` (≤ NextStep) as one step. Afterwards row(i) is the hidden row whose logits
  /// predict the token after tokens[i]. On an error nothing was added.
  Status Step(std::span<const uint32_t> tokens, StepKind kind = StepKind::kRead);
  const float* row(int64_t token) const {
    return hidden_ + output_rows_[token] * model_.config().hidden;
  }

  /// All of `tokens` in steps; `logits` (may be null) gets those after the last token [vocab].
  Status Feed(std::span<const uint32_t> tokens, std::vector<float>* logits,
              StepKind kind = StepKind::kRead);
  /// The same; `next` gets what `sampler` picks after the last token.
  Status Feed(std::span<const uint32_t> tokens, Sampler& sampler, uint32_t* next,
              StepKind kind = StepKind::kRead);

 private:
  bool IsLandmark(int64_t row) const {
    return block_rows_ > 0 && row % block_rows_ == block_rows_ - 1;
  }

  Status Steps(std::span<const uint32_t> tokens, StepKind kind);
  const float* last_row() const { return row(std::ssize(output_rows_) - 1); }

  Llama& model_;
  AttentionBackend& attention_;
  int64_t block_rows_;  // m + 1, or 0 without landmarks
  bool in_loss_;
  int32_t max_rows_;
  const float* hidden_ = nullptr;
  std::vector<float> logits_;
  std::vector<int32_t> ids_;
  std::vector<int64_t> output_rows_;  // per token of the last step
};

}  // namespace cairn
