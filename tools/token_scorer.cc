#include "tools/token_scorer.h"

#include <algorithm>

#include "base/check.h"
#include "base/parallel.h"
#include "model/activations.h"

namespace cairn {
namespace {

constexpr int64_t kLogitRows = 64;  // rows whose logits are held at once

}  // namespace

Status TokenScorer::Score(Runner& runner, std::span<const uint32_t> tokens, int64_t first,
                          const BeforeStep& before_step, std::vector<float>* losses) {
  CAIRN_CHECK(first >= 1 && first < std::ssize(tokens));
  const int64_t end = std::ssize(tokens) - 1;
  for (int64_t fed = 0; fed < end;) {
    CAIRN_TRY(before_step(fed));
    const auto left = tokens.subspan(static_cast<size_t>(fed), static_cast<size_t>(end - fed));
    const int64_t count = runner.NextStep(left);
    CAIRN_TRY(runner.Step(left.first(static_cast<size_t>(count))));
    const int64_t begin = std::max<int64_t>(first - 1 - fed, 0);
    if (begin < count) {
      CAIRN_TRY(ScoreStep(
          runner, begin,
          tokens.subspan(static_cast<size_t>(fed + begin + 1), static_cast<size_t>(count - begin)),
          losses));
    }
    fed += count;
  }
  return Ok();
}

Status TokenScorer::ScoreStep(const Runner& runner, int64_t begin, std::span<const uint32_t> next,
                              std::vector<float>* losses) {
  const int64_t vocab = model_.config().vocab, hidden = model_.config().hidden;
  for (int64_t first = 0; first < std::ssize(next); first += kLogitRows) {
    const int64_t rows = std::min(kLogitRows, std::ssize(next) - first);
    rows_.resize(static_cast<size_t>(rows * hidden));
    logits_.resize(static_cast<size_t>(rows * vocab));
    for (int64_t i = 0; i < rows; ++i) {
      std::copy_n(runner.row(begin + first + i), hidden, rows_.data() + i * hidden);
    }
    CAIRN_TRY(model_.Logits(rows_.data(), rows, logits_.data()));
    const size_t before = losses->size();
    losses->resize(before + static_cast<size_t>(rows));
    ParallelFor(rows, [&](int64_t i) {
      const float* row = logits_.data() + i * vocab;
      (*losses)[before + i] = LogSumExp(row, vocab) - row[next[first + i]];
    });
  }
  return Ok();
}

}  // namespace cairn
