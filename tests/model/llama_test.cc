// The forward pass on tiny random models: retrieval of everything is dense attention, and how
// weights are multiplied does not matter.
#include "model/llama.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "engine/engine.h"
#include "model/dense_attention.h"
#include "model/runner.h"
#include "model/session_attention.h"
#include "storage/memory_cold_store.h"
#include "tests/support/loaded_llama.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/tiny_model.h"

namespace cairn {
namespace {

using test::LoadedLlama;

constexpr int kTokens = 101;

std::vector<uint32_t> Tokens() {
  std::vector<uint32_t> tokens;
  for (int i = 0; i < kTokens; ++i) tokens.push_back(static_cast<uint32_t>(3 + i * i * 31 % 250));
  return tokens;
}

/// Hidden rows that predict the next tokens [tokens, hidden], fed in steps of `max_rows`.
std::vector<float> HiddenRows(LoadedLlama& model, AttentionBackend& attention, int32_t max_rows) {
  Runner runner(*model.llama, attention, model.landmark(), max_rows);
  const std::vector<uint32_t> tokens = Tokens();
  std::span<const uint32_t> left(tokens);
  std::vector<float> hidden;
  while (!left.empty()) {
    const int64_t count = runner.NextStep(left);
    const Status done = runner.Step(left.first(static_cast<size_t>(count)));
    EXPECT_TRUE(done.has_value()) << done.error().message;
    if (!done.has_value()) return {};
    for (int64_t i = 0; i < count; ++i) {
      hidden.insert(hidden.end(), runner.row(i), runner.row(i) + model.llama->config().hidden);
    }
    left = left.subspan(static_cast<size_t>(count));
  }
  return hidden;
}

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - b[i]);
    largest = std::isfinite(difference) ? std::max(largest, difference) : INFINITY;
  }
  return largest;
}

struct LlamaCase {
  const char* architecture;
  bool tied;
  bool landmark;
};

class LlamaTest : public testing::TestWithParam<LlamaCase> {
 protected:
  LlamaTest() {
    options_.architecture = GetParam().architecture;
    options_.tied = GetParam().tied;
    adapter_options_.landmark = GetParam().landmark;
    adapter_options_.regular_tokens = 7;
    EXPECT_TRUE(test::WriteTinyModel(directory_.File("m"), options_).has_value());
    EXPECT_TRUE(
        test::WriteTinyAdapter(directory_.File("a"), options_, adapter_options_).has_value());
  }
  LoadedLlama Load(LinearKind kind, bool adapter) const {
    return LoadedLlama(directory_.File("m"), adapter ? directory_.File("a") : "", kind);
  }
  std::vector<float> Dense(LoadedLlama& model, int32_t max_rows, DType type = DType::kF32) const {
    DenseAttention attention(model.Shape(8, type));
    return HiddenRows(model, attention, max_rows);
  }

  test::ScratchDirectory directory_;
  test::TinyModelOptions options_;
  test::TinyAdapterOptions adapter_options_;
};

TEST(LlamaContextTest, AWindowOfAttentionIsTheContext) {
  const test::ScratchDirectory scratch;
  const auto context = [&](int window) {
    test::TinyModelOptions options;
    options.sliding_window = window;
    EXPECT_TRUE(test::WriteTinyModel(scratch.File("t.gguf"), options));
    return LoadedLlama(scratch.File("t.gguf"), "", LinearKind::kF32).llama->config().context;
  };
  EXPECT_EQ(context(0), 8192);
  EXPECT_EQ(context(4096), 4096);
  EXPECT_EQ(context(16384), 8192);
}

TEST_P(LlamaTest, DenseAttentionMakesNoCodes) {
  LoadedLlama model = Load(LinearKind::kF32, GetParam().landmark);
  const std::vector<float> halves = Dense(model, 40, DType::kF16);
  EXPECT_EQ(Dense(model, 40, DType::kQ8), halves);
  EXPECT_NE(Dense(model, 40, DType::kF32), halves);
}

TEST_P(LlamaTest, RetrievalOfEverythingIsDense) {
  LoadedLlama model = Load(LinearKind::kF32, GetParam().landmark);
  const std::vector<float> dense = Dense(model, 128);
  for (const int32_t max_rows : {2, 9, 40}) {
    SessionOptions options;
    options.retrieve = kTokens;
    options.recent_tokens = 16;
    options.max_step_rows = max_rows;
    auto engine = Engine::Open(std::make_unique<MemoryColdStore>(), {.host_bytes = 8 << 20});
    ASSERT_TRUE(engine.has_value());
    auto session = engine.value()->CreateSession("s", model.Shape(8, DType::kF32), options, "{}");
    ASSERT_TRUE(session.has_value()) << session.error().message;
    SessionAttention attention(*session.value());
    EXPECT_LE(LargestDifference(HiddenRows(model, attention, max_rows), dense), 1e-5) << max_rows;
    const int expected_rows = kTokens + (GetParam().landmark ? kTokens / 7 : 0);
    EXPECT_EQ(session.value()->rows(), expected_rows);
  }
}

TEST_P(LlamaTest, StepLengthsDoNotMatter) {
  LoadedLlama model = Load(LinearKind::kF32, GetParam().landmark);
  const std::vector<float> whole = Dense(model, 128);
  for (const int32_t max_rows : {2, 13}) {
    EXPECT_LE(LargestDifference(Dense(model, max_rows), whole), 1e-5) << max_rows;
  }
}

TEST_P(LlamaTest, LinearKindsAgree) {
  LoadedLlama reference = Load(LinearKind::kReference, true);
  const std::vector<float> expected = Dense(reference, 64);
  LoadedLlama f32 = Load(LinearKind::kF32, true), fast = Load(LinearKind::kFast, true);
  EXPECT_LE(LargestDifference(Dense(f32, 64), expected), 1e-5);
  // bf16 rounds to 8 bits; hidden rows are of order 1.
  EXPECT_LE(LargestDifference(Dense(fast, 64), expected), 0.2);
  EXPECT_GT(f32.llama->weight_bytes(), 0u);
}

TEST_P(LlamaTest, LogitsAreProductsWithTheOutputWeights) {
  LoadedLlama model = Load(LinearKind::kF32, false);
  ASSERT_EQ(model.file->Find("output.weight") == nullptr, GetParam().tied);
  const auto weights =
      model.file->ReadFloats(GetParam().tied ? "token_embd.weight" : "output.weight");
  ASSERT_TRUE(weights.has_value());
  const std::vector<float> hidden = Dense(model, 64);
  const int32_t vocab = model.llama->config().vocab, width = model.llama->config().hidden;
  EXPECT_EQ(vocab, test::TinyVocabulary());
  std::vector<float> logits(static_cast<size_t>(2 * vocab));
  EXPECT_TRUE(model.llama->Logits(hidden.data(), 2, logits.data()).has_value());
  for (int32_t row = 0; row < 2; ++row) {
    for (int32_t id = 0; id < vocab; ++id) {
      double sum = 0;
      for (int32_t i = 0; i < width; ++i) {
        sum += static_cast<double>(hidden[row * width + i]) * weights.value()[id * width + i];
      }
      ASSERT_NEAR(logits[row * vocab + id], sum, 1e-5 * (1 + std::abs(sum)));
    }
  }
}

TEST_P(LlamaTest, TheAdapterChangesTheModelAndScaleZeroDoesNot) {
  LoadedLlama plain = Load(LinearKind::kF32, false), adapted = Load(LinearKind::kF32, true);
  DenseAttention one(plain.Shape(8, DType::kF32)), two(plain.Shape(8, DType::kF32)),
      three(plain.Shape(8, DType::kF32));
  const std::vector<int32_t> ids{5, 6, 7};
  const auto rows = [&](Llama& model, AttentionBackend& attention) {
    const auto hidden = model.Forward(ids, attention);
    EXPECT_TRUE(hidden.has_value());
    return std::vector<float>(hidden.value(), hidden.value() + 3 * model.config().hidden);
  };
  const std::vector<float> expected = rows(*plain.llama, one);
  EXPECT_GT(LargestDifference(rows(*adapted.llama, two), expected), 0.01);
  LoadedLlama silent(directory_.File("m"), {{directory_.File("a"), 0.0}}, LinearKind::kF32);
  EXPECT_EQ(rows(*silent.llama, three), expected);
}

INSTANTIATE_TEST_SUITE_P(
    Models, LlamaTest,
    testing::Values(LlamaCase{"llama", true, false}, LlamaCase{"llama", true, true},
                    LlamaCase{"llama", false, false}, LlamaCase{"llama", false, true},
                    LlamaCase{"qwen2", true, true}, LlamaCase{"qwen3", false, false}),
    [](const auto& info) {
      return std::string(info.param.architecture) + (info.param.tied ? "Tied" : "Untied") +
             (info.param.landmark ? "Landmark" : "Unmodified");
    });

}  // namespace
}  // namespace cairn
