// The two label conventions of landmark models over real attention: which row predicts the next
// token, and that neither step lengths nor a session's commits at block borders change it.
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

constexpr int kRegular = 7;
constexpr int kBlocks = 6;
constexpr double kTolerance = 1e-4;

std::vector<uint32_t> Tokens(int count) {
  std::vector<uint32_t> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(static_cast<uint32_t>(3 + i * i * 31 % 250));
  return tokens;
}

class LandmarkInLossTest : public testing::TestWithParam<bool> {
 protected:
  LandmarkInLossTest() {
    EXPECT_TRUE(test::WriteTinyModel(directory_.File("m"), {}));
    test::TinyAdapterOptions options;
    options.regular_tokens = kRegular;
    options.in_loss = GetParam();
    EXPECT_TRUE(test::WriteTinyAdapter(directory_.File("a"), {}, options));
    model_ =
        std::make_unique<LoadedLlama>(directory_.File("m"), directory_.File("a"), LinearKind::kF32);
  }

  /// Everything is retrieved, so that step lengths do not change what a row sees.
  static SessionOptions Options() {
    SessionOptions options;
    options.retrieve = kBlocks + 1;
    options.max_step_rows = 40;
    return options;
  }
  SessionShape Shape() const { return model_->Shape(kRegular, DType::kF32); }
  std::unique_ptr<Engine> OpenEngine() const {
    auto engine = Engine::Open(std::make_unique<MemoryColdStore>(), {.host_bytes = 8 << 20});
    EXPECT_TRUE(engine.has_value());
    return std::move(engine).value();
  }
  std::unique_ptr<Session> NewSession(Engine& engine) const {
    auto session = engine.CreateSession("s", Shape(), Options(), "{}");
    EXPECT_TRUE(session.has_value()) << session.error().message;
    return std::move(session).value();
  }
  /// Logits after `tokens`, fed in pieces of `piece`.
  std::vector<float> Feed(AttentionBackend& attention, std::span<const uint32_t> tokens,
                          size_t piece) {
    Runner runner(*model_->llama, attention, model_->landmark(), 40);
    std::vector<float> logits;
    while (!tokens.empty()) {
      const auto next = tokens.first(std::min(piece, tokens.size()));
      const Status fed = runner.Feed(next, &logits);
      EXPECT_TRUE(fed.has_value()) << fed.error().message;
      tokens = tokens.subspan(next.size());
    }
    return logits;
  }
  static void ExpectNear(const std::vector<float>& a, const std::vector<float>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], kTolerance) << i;
  }

  test::ScratchDirectory directory_;
  std::unique_ptr<LoadedLlama> model_;
};

TEST_P(LandmarkInLossTest, TheAdapterSaysTheConvention) {
  ASSERT_NE(model_->landmark(), nullptr);
  EXPECT_EQ(model_->landmark()->in_loss, GetParam());
}

// The whole text as one step of Forward, landmarks put in by hand, is what the runner must give.
TEST_P(LandmarkInLossTest, LogitsAreThoseOfTheRightRow) {
  for (const int count : {kRegular - 1, kRegular, kRegular + 1, 3 * kRegular}) {
    SCOPED_TRACE(count);
    std::vector<int32_t> ids;
    size_t last = 0;
    for (const uint32_t token : Tokens(count)) {
      last = ids.size();
      ids.push_back(static_cast<int32_t>(token));
      if (ids.size() % (kRegular + 1) != kRegular) continue;
      if (GetParam()) last = ids.size();
      ids.push_back(kLandmarkRow);
    }
    DenseAttention dense(Shape()), again(Shape());
    const auto hidden = model_->llama->Forward(ids, dense);
    ASSERT_TRUE(hidden.has_value());
    std::vector<float> expected(static_cast<size_t>(model_->llama->config().vocab));
    const auto width = static_cast<size_t>(model_->llama->config().hidden);
    ASSERT_TRUE(
        model_->llama->Logits(hidden.value() + last * width, 1, expected.data()).has_value());
    ExpectNear(Feed(again, Tokens(count), 1), expected);
  }
}

TEST_P(LandmarkInLossTest, StepLengthsDoNotMatter) {
  for (const int count : {kRegular, 3 * kRegular - 1, 3 * kRegular, kBlocks * kRegular}) {
    const std::vector<uint32_t> tokens = Tokens(count);
    auto whole_engine = OpenEngine();
    auto whole_session = NewSession(*whole_engine);
    SessionAttention whole(*whole_session);
    const std::vector<float> expected = Feed(whole, tokens, tokens.size());
    for (const size_t piece : {size_t{1}, size_t{2}, size_t{kRegular}}) {
      SCOPED_TRACE(fmt::format("{} tokens in pieces of {}", count, piece));
      auto engine = OpenEngine();
      auto session = NewSession(*engine);
      SessionAttention attention(*session);
      ExpectNear(Feed(attention, tokens, piece), expected);
      EXPECT_EQ(session->rows(), count + count / kRegular);
    }
  }
}

TEST_P(LandmarkInLossTest, ASessionGoesOnFromABlockBorder) {
  const std::vector<uint32_t> tokens = Tokens(kBlocks * kRegular);
  const std::span<const uint32_t> all(tokens);
  auto whole_engine = OpenEngine();
  auto whole_session = NewSession(*whole_engine);
  SessionAttention whole(*whole_session);
  const std::vector<float> expected = Feed(whole, all, tokens.size());
  for (const int first : {kRegular - 1, kRegular, 4 * kRegular, 4 * kRegular + 1}) {
    SCOPED_TRACE(first);
    auto engine = OpenEngine();
    {
      auto session = NewSession(*engine);
      SessionAttention attention(*session);
      Feed(attention, all.first(static_cast<size_t>(first)), 5);
      session->AddTokens(all.first(static_cast<size_t>(first)));
      ASSERT_TRUE(session->Commit("{}").has_value());
    }
    auto session = engine->OpenSession("s", Shape(), Options());
    ASSERT_TRUE(session.has_value()) << session.error().message;
    SessionAttention attention(*session.value());
    EXPECT_EQ(attention.rows(), first + first / kRegular);
    ExpectNear(Feed(attention, all.subspan(static_cast<size_t>(first)), 1), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Conventions, LandmarkInLossTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "InLoss" : "Ignored"; });

}  // namespace
}  // namespace cairn
