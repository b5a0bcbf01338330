// The runner over an attention that mixes nothing, so that every hidden row tells its input.
#include "model/runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "tests/support/loaded_llama.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/tiny_model.h"

namespace cairn {
namespace {

constexpr int kRegular = 3;  // tokens between landmarks

/// Outputs zeros and writes down what it was asked; fails at `fail_layer`, if that is not -1.
class FakeAttention : public AttentionBackend {
 public:
  explicit FakeAttention(int64_t width) : width_(width) {}
  Status BeginStep(int32_t rows) override {
    EXPECT_EQ(open_rows_, 0);
    open_rows_ = rows;
    layers_ = 0;
    return Ok();
  }
  Status Attend(int32_t layer, const float*, const float*, const float*, float* o) override {
    EXPECT_EQ(layer, layers_++);
    if (layer == fail_layer) return Fail(Errc::kIo, "attention fails");
    std::fill_n(o, open_rows_ * width_, 0.0f);
    return Ok();
  }
  Status EndStep() override {
    steps.push_back(open_rows_);
    rows_ += open_rows_;
    open_rows_ = 0;
    return Ok();
  }
  void AbortStep() override { open_rows_ = 0; }
  int64_t rows() const override { return rows_; }
  bool open() const { return open_rows_ > 0; }

  std::vector<int32_t> steps;
  int32_t fail_layer = -1;

 private:
  int64_t width_;
  int64_t rows_ = 0;
  int32_t open_rows_ = 0;
  int32_t layers_ = 0;
};

class RunnerTest : public testing::TestWithParam<bool> {
 protected:
  RunnerTest() {
    const test::TinyModelOptions model;
    test::TinyAdapterOptions adapter;
    adapter.regular_tokens = kRegular;
    adapter.in_loss = GetParam();
    EXPECT_TRUE(test::WriteTinyModel(directory_.File("m"), model).has_value());
    EXPECT_TRUE(test::WriteTinyAdapter(directory_.File("a"), model, adapter).has_value());
    model_ = std::make_unique<test::LoadedLlama>(directory_.File("m"), directory_.File("a"),
                                                 LinearKind::kF32);
    hidden_ = model_->llama->config().hidden;
  }

  FakeAttention Attention() const {
    return FakeAttention(model_->llama->config().query_heads * model_->llama->config().head_dim);
  }
  /// The hidden row of an input alone.
  std::vector<float> Alone(int32_t id) {
    FakeAttention attention = Attention();
    const auto row = model_->llama->Forward({&id, 1}, attention);
    EXPECT_TRUE(row.has_value());
    return {row.value(), row.value() + hidden_};
  }
  void ExpectRow(const float* row, int32_t id, const std::string& what) {
    const std::vector<float> expected = Alone(id);
    for (int64_t i = 0; i < hidden_; ++i) ASSERT_NEAR(row[i], expected[i], 1e-5) << what;
  }

  test::ScratchDirectory directory_;
  std::unique_ptr<test::LoadedLlama> model_;
  int64_t hidden_ = 0;
};

std::vector<uint32_t> Tokens(int count) {
  std::vector<uint32_t> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(static_cast<uint32_t>(3 + 7 * i % 250));
  return tokens;
}

// Every step length from every row of a block: as many tokens as fit, landmarks counted.
TEST_P(RunnerTest, NextStepTakesWhatFits) {
  for (int32_t max_rows = 2; max_rows <= 13; ++max_rows) {
    for (int before = 0; before <= 2 * kRegular + 1; ++before) {
      FakeAttention attention = Attention();
      Runner runner(*model_->llama, attention, model_->landmark(), max_rows);
      ASSERT_TRUE(runner.Feed(Tokens(before), nullptr).has_value());
      ASSERT_EQ(attention.rows(), before + before / kRegular);
      EXPECT_EQ(runner.NextStep({}), 0);
      EXPECT_EQ(runner.NextStep(Tokens(1)), 1);
      const int64_t taken = runner.NextStep(Tokens(50));
      const auto rows_of = [&](int64_t count) {
        return count + (before + count) / kRegular - before / kRegular;
      };
      EXPECT_GE(taken, 1);
      EXPECT_LE(rows_of(taken), max_rows);
      EXPECT_GT(rows_of(taken + 1), max_rows) << "one more would have fitted";
    }
  }
}

TEST_P(RunnerTest, LandmarkRowsStandAfterEveryThirdToken) {
  FakeAttention attention = Attention();
  Runner runner(*model_->llama, attention, model_->landmark(), 12);
  const std::vector<uint32_t> tokens = Tokens(30);
  size_t done = 0;
  for (const size_t count : {1, 1, 1, 2, 5, 9, 3, 8}) {
    ASSERT_LE(count, static_cast<size_t>(runner.NextStep({tokens.data() + done, count})));
    ASSERT_TRUE(runner.Step({tokens.data() + done, count}).has_value());
    for (size_t i = 0; i < count; ++i) {
      const bool completes = (done + i + 1) % kRegular == 0;
      const int32_t read =
          GetParam() && completes ? kLandmarkRow : static_cast<int32_t>(tokens[done + i]);
      ExpectRow(runner.row(static_cast<int64_t>(i)), read, "token " + std::to_string(done + i));
    }
    done += count;
    EXPECT_EQ(attention.rows(), static_cast<int64_t>(done + done / kRegular));
  }
  EXPECT_EQ(attention.steps, (std::vector<int32_t>{1, 1, 2, 2, 7, 12, 4, 11}));
}

TEST_P(RunnerTest, FeedGivesTheLogitsAfterTheLastToken) {
  const std::vector<uint32_t> tokens = Tokens(20);
  for (const int count : {1, 3, 17, 18, 20}) {
    FakeAttention attention = Attention();
    Runner runner(*model_->llama, attention, model_->landmark(), 7);
    std::vector<float> logits;
    ASSERT_TRUE(runner.Feed({tokens.data(), static_cast<size_t>(count)}, &logits).has_value());
    const bool from_landmark = GetParam() && count % kRegular == 0;
    const auto row = Alone(from_landmark ? kLandmarkRow : static_cast<int32_t>(tokens[count - 1]));
    std::vector<float> expected(logits.size());
    EXPECT_TRUE(model_->llama->Logits(row.data(), 1, expected.data()).has_value());
    ASSERT_EQ(std::ssize(logits), model_->llama->config().vocab);
    for (size_t i = 0; i < logits.size(); ++i) ASSERT_NEAR(logits[i], expected[i], 1e-4);
    for (const int32_t rows : attention.steps) EXPECT_LE(rows, 7);
  }
}

TEST_P(RunnerTest, WithoutLandmarksEveryRowIsAToken) {
  FakeAttention attention = Attention();
  Runner runner(*model_->llama, attention, nullptr, 8);
  EXPECT_EQ(runner.NextStep(Tokens(50)), 8);
  ASSERT_TRUE(runner.Feed(Tokens(20), nullptr).has_value());
  EXPECT_EQ(attention.steps, (std::vector<int32_t>{8, 8, 4}));
}

TEST_P(RunnerTest, AFailedStepIsAborted) {
  FakeAttention attention = Attention();
  Runner runner(*model_->llama, attention, model_->landmark(), 8);
  ASSERT_TRUE(runner.Feed(Tokens(5), nullptr).has_value());
  const int64_t before = attention.rows();
  for (int32_t layer = 0; layer < model_->llama->config().layers; ++layer) {
    attention.fail_layer = layer;
    const Status failed = runner.Step(Tokens(2));
    ASSERT_FALSE(failed.has_value());
    EXPECT_EQ(failed.error().message, "attention fails");
    EXPECT_FALSE(attention.open());
    EXPECT_EQ(attention.rows(), before);
  }
  attention.fail_layer = -1;
  const std::vector<uint32_t> outside{3, 1u << 30};
  const Status failed = runner.Step(outside);
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, Errc::kInvalidArgument);
  EXPECT_NE(failed.error().message.find("vocabulary"), std::string::npos);
  EXPECT_EQ(attention.rows(), before);
  EXPECT_TRUE(runner.Step(Tokens(2)).has_value());
}

INSTANTIATE_TEST_SUITE_P(LandmarkInLoss, RunnerTest, testing::Bool());

}  // namespace
}  // namespace cairn
