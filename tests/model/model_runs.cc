#include "tests/model/model_runs.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "base/device.h"
#include "model/runner.h"
#include "model/sampler.h"
#include "storage/memory_cold_store.h"

namespace cairn::test {

TinyFiles::TinyFiles(const TinyModelOptions& model, const TinyAdapterOptions& adapter) {
  EXPECT_TRUE(WriteTinyModel(directory_.File("m"), model).has_value());
  EXPECT_TRUE(WriteTinyAdapter(directory_.File("a"), model, adapter).has_value());
}

std::vector<uint32_t> SomeTokens(int64_t count, uint32_t seed) {
  constexpr uint32_t kFirst = 3, kBytes = 256;
  std::mt19937 random(seed);
  std::vector<uint32_t> tokens(static_cast<size_t>(count));
  for (uint32_t& token : tokens) token = kFirst + random() % kBytes;
  return tokens;
}

SessionOptions Retrieving(int32_t blocks) {
  SessionOptions options;
  options.retrieve = blocks;
  options.recent_tokens = 8;
  options.max_step_rows = kMostRows;
  options.selection = Selection::kPerToken;
  return options;
}

int32_t Choosing(int32_t few, bool landmark, bool mixed) {
  const bool chance = landmark && (mixed || Device::Open(0).value()->model() != "CPU");
  return chance ? 100 + few : few;
}

std::unique_ptr<Engine> OpenEngine(const EngineOptions& options) {
  return Engine::Open(std::make_unique<MemoryColdStore>(), options).value();
}

Outcome Run(LoadedLlama& model, AttentionBackend& attention, const std::vector<uint32_t>& text,
            int64_t answer, const std::vector<uint32_t>* said, int32_t most_rows) {
  Runner runner(*model.llama, attention, model.landmark(), most_rows);
  Outcome outcome;
  Sampler greedy;
  std::vector<float> logits;
  EXPECT_TRUE(runner.Feed(text, &logits).has_value());
  for (int64_t i = 0; i < answer; ++i) {
    outcome.logits.insert(outcome.logits.end(), logits.begin(), logits.end());
    outcome.tokens.push_back(greedy.Pick(logits));
    const uint32_t next = said == nullptr ? outcome.tokens.back() : (*said)[static_cast<size_t>(i)];
    EXPECT_TRUE(runner.Feed({&next, 1}, &logits, StepKind::kDecode).has_value());
  }
  return outcome;
}

void ExpectLogitsNear(const std::vector<float>& found, const std::vector<float>& expected,
                      float bound) {
  ASSERT_EQ(found.size(), expected.size());
  float largest = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_TRUE(std::isfinite(found[i]));
    largest = std::max(largest, std::abs(found[i] - expected[i]));
  }
  EXPECT_LE(largest, bound);
}

Distance DistanceOf(const Outcome& found, const Outcome& exact) {
  const size_t tokens = exact.tokens.size(), vocab = exact.logits.size() / tokens;
  std::vector<double> errors;
  for (size_t token = 0; token < tokens; ++token) {
    double sum = 0, squares = 0, off = 0;
    for (size_t i = token * vocab; i < (token + 1) * vocab; ++i) {
      const double number = exact.logits[i], error = found.logits[i] - number;
      sum += number;
      squares += number * number;
      off += error * error;
    }
    const auto count = static_cast<double>(vocab);
    errors.push_back(std::sqrt(off / (squares - sum * sum / count)));
  }
  std::sort(errors.begin(), errors.end());
  return {.typical = errors[tokens / 2], .worst = errors.back()};
}

void ExpectAsNear(const Outcome& found, const Outcome& fair, const Outcome& exact,
                  bool all_tokens) {
  const Distance error = DistanceOf(found, exact), allowed = DistanceOf(fair, exact);
  ASSERT_GT(allowed.typical, 0) << "numbers of few bits that are exact";
  EXPECT_LE(error.typical, 1.5 * allowed.typical);
  if (!all_tokens) return;
  EXPECT_LE(error.worst, 2 * allowed.worst);
  // Single logits are off by some times the root mean square of all.
  constexpr double kTimes = 5;
  const size_t tokens = exact.tokens.size(), vocab = exact.logits.size() / tokens;
  size_t clear = 0;
  for (size_t token = 0; token < tokens; ++token) {
    std::vector<float> logits(
        exact.logits.begin() + static_cast<std::ptrdiff_t>(token * vocab),
        exact.logits.begin() + static_cast<std::ptrdiff_t>((token + 1) * vocab));
    double sum = 0, squares = 0;
    for (const float logit : logits) {
      sum += logit;
      squares += double{logit} * logit;
    }
    const auto count = static_cast<double>(vocab);
    const double spread = std::sqrt(squares / count - sum / count * sum / count);
    std::nth_element(logits.begin(), logits.begin() + 1, logits.end(), std::greater<>());
    if (logits[0] - logits[1] < 2 * kTimes * 2 * allowed.worst * spread) continue;
    ++clear;
    EXPECT_EQ(found.tokens[token], exact.tokens[token]) << "token " << token;
  }
  EXPECT_GT(clear, tokens / 3);
}

}  // namespace cairn::test
