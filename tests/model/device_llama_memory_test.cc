// A model on a device whose memory runs out, or is elsewhere than it was.
#include <gtest/gtest.h>

#include "model/dense_attention.h"
#include "model/runner.h"
#include "model/session_attention.h"
#include "tests/model/model_runs.h"
#include "tests/support/cuda_on_cpu/runtime.h"

namespace cairn {
namespace {

using test::LoadedLlama;
using test::Retrieving;
using test::SomeTokens;

class DeviceLlamaMemory : public testing::TestWithParam<bool> {
 protected:
  DeviceLlamaMemory() {
    cuda_on_cpu::SetMemory(size_t{256} << 20);
    options_.ffn = 64;
    EXPECT_TRUE(test::WriteTinyModel(directory_.File("m"), options_).has_value());
    WriteAdapter(7);
  }
  ~DeviceLlamaMemory() override { cuda_on_cpu::SetMemory(size_t{64} << 20); }

  void WriteAdapter(int regular_tokens) const {
    test::TinyAdapterOptions adapter;
    adapter.landmark = GetParam();
    adapter.regular_tokens = regular_tokens;
    EXPECT_TRUE(test::WriteTinyAdapter(directory_.File("a"), options_, adapter).has_value());
  }
  LoadedLlama Load(std::optional<int32_t> device) const {
    return LoadedLlama(directory_.File("m"), directory_.File("a"), LinearKind::kF32, device);
  }

  test::ScratchDirectory directory_;
  test::TinyModelOptions options_;
};

void ExpectNear(const std::vector<float>& found, const std::vector<float>& expected) {
  test::ExpectLogitsNear(found, expected, 1e-3f);
}

std::vector<float> LogitsOf(LoadedLlama& model, const float* hidden, int64_t rows) {
  std::vector<float> logits(static_cast<size_t>(rows * model.llama->config().vocab));
  EXPECT_TRUE(model.llama->Logits(hidden, rows, logits.data()).has_value());
  return logits;
}

// Where the device has no memory for a step there, the host makes it with what is there already.
TEST_P(DeviceLlamaMemory, AStepThatDoesNotFitIsMadeByTheHost) {
  LoadedLlama models[2] = {Load(std::nullopt), Load(0)};
  std::vector<float> all[2];
  for (const int there : {0, 1}) {
    LoadedLlama& model = models[there];
    auto engine = test::OpenEngine(there == 1 ? test::OnDevice() : test::OnHost());
    auto session =
        engine->CreateSession("s", model.Shape(8, DType::kF32), Retrieving(3), "{}").value();
    SessionAttention attention(*session);
    Runner runner(*model.llama, attention, model.landmark(), 20);
    const auto feed = [&](int64_t tokens, uint32_t seed) {
      std::vector<float> logits;
      const Status fed = runner.Feed(SomeTokens(tokens, seed), &logits);
      EXPECT_TRUE(fed.has_value()) << fed.error().message;
      all[there].insert(all[there].end(), logits.begin(), logits.end());
    };
    StepLog log;
    session->Observe(&log);  // the host attends, and what it needs is there then
    feed(300, 1);
    feed(4, 5);
    session->Observe(nullptr);
    EXPECT_EQ(session->StepsOnDevice(), there == 1);
    uint32_t seed = 2;
    for (const int64_t rows : {4, 5, 17}) {  // none there, a shorter one, a longer one
      cuda_on_cpu::SetMemory(rows == 5 ? size_t{256} << 20 : 0);
      const uint64_t by_host = engine->steps().by_host;
      feed(rows, seed++);
      EXPECT_EQ(engine->steps().by_host - by_host, static_cast<uint64_t>(there));
    }
    EXPECT_EQ(engine->steps().on_device, 0u);
    cuda_on_cpu::SetMemory(size_t{256} << 20);
    feed(3, seed);
  }
  ExpectNear(all[1], all[0]);
}

// Rows of a longer step, which the host attends, do not fit where those of the graph are; the block
// that both are in is not complete, so that the next step launches what the one before did.
TEST_P(DeviceLlamaMemory, AGraphIsNotRunWhereItsMemoryIsElsewhere) {
  WriteAdapter(31);
  LoadedLlama models[2] = {Load(std::nullopt), Load(0)};
  std::vector<float> all[2];
  for (const int there : {0, 1}) {
    LoadedLlama& model = models[there];
    EngineOptions engine_options = there == 1 ? test::OnDevice() : test::OnHost();
    engine_options.compute_bytes *= 2;  // blocks are long
    auto engine = test::OpenEngine(engine_options);
    auto session =
        engine->CreateSession("s", model.Shape(32, DType::kF32), Retrieving(2), "{}").value();
    SessionAttention attention(*session);
    const auto feed = [&](int32_t rows_at_once, std::span<const uint32_t> tokens, StepKind kind) {
      Runner runner(*model.llama, attention, model.landmark(), rows_at_once);
      std::vector<float> logits;
      const Status fed = runner.Feed(tokens, &logits, kind);
      EXPECT_TRUE(fed.has_value()) << fed.error().message;
      all[there].insert(all[there].end(), logits.begin(), logits.end());
    };
    // Returns how many of the steps were a graph.
    const auto decode = [&](int64_t steps, uint32_t seed) {
      const uint64_t before = there == 1 ? engine->device()->Counts().launches : 0;
      for (const uint32_t token : SomeTokens(steps, seed)) feed(4, {&token, 1}, StepKind::kDecode);
      return there == 1 ? engine->device()->Counts().launches - before : 0;
    };
    feed(4, SomeTokens(132, 1), StepKind::kRead);
    EXPECT_EQ(decode(6, 2) > 0, there == 1);
    StepLog log;
    session->Observe(&log);
    feed(10, SomeTokens(10, 3), StepKind::kRead);
    session->Observe(nullptr);
    EXPECT_EQ(decode(6, 4) > 0, there == 1);
  }
  ExpectNear(all[1], all[0]);
}

// What was made is gone with the memory in which it was.
TEST_P(DeviceLlamaMemory, LogitsOfMoreRowsThanFitLeaveNone) {
  LoadedLlama there = Load(0);
  DenseAttention dense(there.Shape(8, DType::kF32));
  const int64_t width = there.llama->config().hidden, vocab = there.llama->config().vocab;
  const float* const rows = there.llama->Forward({{3, 4, 5}}, dense, StepKind::kDecode).value();
  ASSERT_TRUE(there.llama->Likeliest(rows).has_value());
  const std::vector<float> expected = LogitsOf(there, rows, 3);
  const std::vector<float> more(static_cast<size_t>(40 * width), 0.5f);
  std::vector<float> logits(static_cast<size_t>(40 * vocab));
  cuda_on_cpu::SetMemory(0);
  EXPECT_FALSE(there.llama->Logits(more.data(), 40, logits.data()).has_value());
  cuda_on_cpu::SetMemory(size_t{256} << 20);
  EXPECT_FALSE(there.llama->Likeliest(rows).has_value());
  ExpectNear(LogitsOf(there, rows, 3), expected);
}

INSTANTIATE_TEST_SUITE_P(Models, DeviceLlamaMemory, testing::Bool(),
                         [](const auto& info) { return info.param ? "landmarks" : "unmodified"; });

}  // namespace
}  // namespace cairn
