#include "model/runner.h"

#include <algorithm>

#include "base/check.h"

namespace cairn {

Runner::Runner(Llama& model, AttentionBackend& attention, const LandmarkInfo* landmark,
               int32_t max_rows)
    : model_(model),
      attention_(attention),
      block_rows_(landmark != nullptr ? landmark->regular_tokens + 1 : 0),
      in_loss_(landmark != nullptr && landmark->in_loss),
      max_rows_(max_rows) {
  CAIRN_CHECK(max_rows >= 2);
}

int64_t Runner::NextStep(std::span<const uint32_t> tokens) const {
  int64_t taken = 0;
  int64_t row = attention_.rows();
  const int64_t end = row + max_rows_;
  while (taken < std::ssize(tokens)) {
    const int64_t need = IsLandmark(row + 1) ? 2 : 1;
    if (row + need > end) break;
    row += need;
    ++taken;
  }
  return taken;
}

Status Runner::Step(std::span<const uint32_t> tokens, StepKind kind) {
  CAIRN_CHECK(!tokens.empty());
  const int64_t first = attention_.rows();
  ids_.clear();
  output_rows_.clear();
  for (const uint32_t token : tokens) {
    output_rows_.push_back(std::ssize(ids_));
    ids_.push_back(static_cast<int32_t>(token));
    if (IsLandmark(first + std::ssize(ids_))) {
      if (in_loss_) output_rows_.back() = std::ssize(ids_);
      ids_.push_back(kLandmarkRow);
    }
  }
  CAIRN_TRY(hidden_, model_.Forward(ids_, attention_, kind));
  return Ok();
}

Status Runner::Steps(std::span<const uint32_t> tokens, StepKind kind) {
  while (!tokens.empty()) {
    const int64_t count = NextStep(tokens);
    CAIRN_TRY(Step(tokens.first(static_cast<size_t>(count)), kind));
    tokens = tokens.subspan(static_cast<size_t>(count));
  }
  return Ok();
}

Status Runner::Feed(std::span<const uint32_t> tokens, std::vector<float>* logits, StepKind kind) {
  CAIRN_TRY(Steps(tokens, kind));
  if (tokens.empty() || logits == nullptr) return Ok();
  logits->resize(static_cast<size_t>(model_.config().vocab));
  return model_.Logits(last_row(), 1, logits->data(), kind);
}

Status Runner::Feed(std::span<const uint32_t> tokens, Sampler& sampler, uint32_t* next,
                    StepKind kind) {
  CAIRN_CHECK(!tokens.empty());
  CAIRN_TRY(Steps(tokens, kind));
  const auto likeliest = sampler.greedy() ? model_.Likeliest(last_row()) : std::nullopt;
  if (likeliest.has_value()) {
    *next = *likeliest;
    return Ok();
  }
  logits_.resize(static_cast<size_t>(model_.config().vocab));
  CAIRN_TRY(model_.Logits(last_row(), 1, logits_.data(), kind));
  *next = sampler.Pick(logits_);
  return Ok();
}

}  // namespace cairn
