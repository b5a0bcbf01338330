// A model's steps on a device come to what they come to on the host, with what work and how many
// waits.
#include "model/device_llama.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/engine.h"
#include "model/dense_attention.h"
#include "model/runner.h"
#include "model/sampler.h"
#include "model/session_attention.h"
#include "storage/memory_cold_store.h"
#include "tests/support/cuda_on_cpu/runtime.h"
#include "tests/support/cuda_on_cpu/thread_block.h"
#include "tests/support/loaded_llama.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/tiny_model.h"

namespace cairn {
namespace {

using test::LoadedLlama;

constexpr int32_t kLayers = 3;
constexpr int64_t kText = 50, kAnswer = 24;

SessionOptions Options() {
  SessionOptions options;
  options.retrieve = 3;
  options.recent_tokens = 8;
  options.max_step_rows = 20;
  options.selection = Selection::kPerToken;
  return options;
}

// Logits of every token of a text, then of an answer that goes on from it, a token a step.
class DeviceLlamaTest : public testing::TestWithParam<bool> {
 protected:
  DeviceLlamaTest() {
    cuda_on_cpu::SetMemory(size_t{256} << 20);
    options_.layers = kLayers;
    options_.ffn = 64;
    adapter_options_.landmark = GetParam();
    adapter_options_.regular_tokens = 7;
    EXPECT_TRUE(test::WriteTinyModel(directory_.File("m"), options_).has_value());
    EXPECT_TRUE(
        test::WriteTinyAdapter(directory_.File("a"), options_, adapter_options_).has_value());
  }
  ~DeviceLlamaTest() override { cuda_on_cpu::SetMemory(size_t{64} << 20); }

  LoadedLlama Load(LinearKind kind, std::optional<int32_t> device) const {
    return LoadedLlama(directory_.File("m"), directory_.File("a"), kind, device);
  }
  static EngineOptions OnDevice() {
    return {.host_bytes = 8 << 20, .compute_bytes = 1 << 20, .device = 0};
  }
  static std::unique_ptr<Engine> OpenEngine(const EngineOptions& options) {
    return Engine::Open(std::make_unique<MemoryColdStore>(), options).value();
  }
  static std::vector<uint32_t> Text() {
    std::vector<uint32_t> text;
    for (int64_t i = 0; i < kText; ++i) text.push_back(static_cast<uint32_t>(3 + i * 37 % 200));
    return text;
  }

  struct Outcome {
    std::vector<float> logits;  // after the text, and after each token of the answer
    std::vector<uint32_t> tokens;
  };
  static std::vector<uint32_t> Answer(LoadedLlama& model, AttentionBackend& attention) {
    Runner runner(*model.llama, attention, model.landmark(), 20);
    Sampler greedy;
    std::vector<uint32_t> tokens(1);
    EXPECT_TRUE(runner.Feed(Text(), greedy, &tokens[0]).has_value());
    while (std::ssize(tokens) < kAnswer) {
      uint32_t next = 0;
      EXPECT_TRUE(runner.Feed({&tokens.back(), 1}, greedy, &next, StepKind::kDecode).has_value());
      tokens.push_back(next);
    }
    return tokens;
  }
  static Outcome Run(LoadedLlama& model, AttentionBackend& attention) {
    Runner runner(*model.llama, attention, model.landmark(), 20);
    Outcome outcome;
    Sampler greedy;
    std::vector<float> logits;
    EXPECT_TRUE(runner.Feed(Text(), &logits).has_value());
    for (int64_t i = 0; i < kAnswer; ++i) {
      outcome.logits.insert(outcome.logits.end(), logits.begin(), logits.end());
      outcome.tokens.push_back(greedy.Pick(logits));
      EXPECT_TRUE(runner.Feed({&outcome.tokens.back(), 1}, &logits, StepKind::kDecode).has_value());
    }
    return outcome;
  }
  static Outcome RunSession(LoadedLlama& model, Engine& engine, const SessionOptions& options,
                            const std::function<void(Session&)>& prepare = nullptr) {
    auto session = engine.CreateSession("s", model.Shape(8, DType::kF32), options, "{}").value();
    if (prepare) prepare(*session);
    SessionAttention attention(*session);
    return Run(model, attention);
  }
  static void ExpectNear(const Outcome& found, const Outcome& expected, float bound) {
    EXPECT_EQ(found.tokens, expected.tokens);
    ASSERT_EQ(found.logits.size(), expected.logits.size());
    float largest = 0;
    for (size_t i = 0; i < found.logits.size(); ++i) {
      ASSERT_TRUE(std::isfinite(found.logits[i]));
      largest = std::max(largest, std::abs(found.logits[i] - expected.logits[i]));
    }
    EXPECT_LE(largest, bound);
  }

  test::ScratchDirectory directory_;
  test::TinyModelOptions options_;
  test::TinyAdapterOptions adapter_options_;
};

TEST_P(DeviceLlamaTest, ASessionThereGivesWhatItGivesOnTheHost) {
  LoadedLlama on_host = Load(LinearKind::kF32, std::nullopt), there = Load(LinearKind::kF32, 0);
  EXPECT_EQ(there.llama->weight_bytes() > 0, true);
  auto host_engine = OpenEngine({.host_bytes = 8 << 20});
  const Outcome expected = RunSession(on_host, *host_engine, Options());
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    cuda_on_cpu::SetOrderSeed(seed);
    auto engine = OpenEngine(OnDevice());
    ExpectNear(RunSession(there, *engine, Options()), expected, 1e-3f);
  }
  auto engine = OpenEngine(OnDevice());
  auto session = engine->CreateSession("s", there.Shape(8, DType::kF32), Options(), "{}").value();
  SessionAttention attention(*session);
  EXPECT_EQ(Answer(there, attention), expected.tokens);
}

TEST_P(DeviceLlamaTest, AttentionOfTheHostIsAskedWhereADeviceCannot) {
  LoadedLlama on_host = Load(LinearKind::kF32, std::nullopt), there = Load(LinearKind::kF32, 0);
  DenseAttention host_dense(on_host.Shape(8, DType::kF32)), dense(there.Shape(8, DType::kF32));
  ExpectNear(Run(there, dense), Run(on_host, host_dense), 1e-3f);

  auto host_engine = OpenEngine({.host_bytes = 8 << 20});
  const Outcome expected = RunSession(on_host, *host_engine, Options());
  auto no_device = OpenEngine({.host_bytes = 8 << 20});
  ExpectNear(RunSession(there, *no_device, Options()), expected, 1e-3f);
  auto engine = OpenEngine(OnDevice());
  StepLog log;
  const Outcome watched =
      RunSession(there, *engine, Options(), [&](Session& session) { session.Observe(&log); });
  ExpectNear(watched, expected, 1e-3f);
  EXPECT_FALSE(log.blocks.empty());
}

TEST_P(DeviceLlamaTest, ProductsOfBf16AreCloseToThoseOfF32) {
  LoadedLlama exact = Load(LinearKind::kF32, 0), fast = Load(LinearKind::kFast, 0);
  EXPECT_LT(fast.llama->weight_bytes(), exact.llama->weight_bytes());
  DenseAttention one(exact.Shape(8, DType::kF32)), two(fast.Shape(8, DType::kF32));
  std::vector<float> expected, found;
  Runner a(*exact.llama, one, exact.landmark(), 64), b(*fast.llama, two, fast.landmark(), 64);
  ASSERT_TRUE(a.Feed(Text(), &expected).has_value());
  ASSERT_TRUE(b.Feed(Text(), &found).has_value());
  for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], 0.5f);
}

// Where all blocks are there a token is a graph and a wait, and one more for logits if they are
// wanted.
TEST_P(DeviceLlamaTest, ATokenIsAGraphAndAWait) {
  LoadedLlama model = Load(LinearKind::kF32, 0);
  auto engine = OpenEngine(OnDevice());
  auto session = engine->CreateSession("s", model.Shape(8, DType::kF32), Options(), "{}").value();
  SessionAttention attention(*session);
  Runner runner(*model.llama, attention, model.landmark(), 20);
  Sampler greedy;
  uint32_t token = 0;
  ASSERT_TRUE(runner.Feed(Text(), greedy, &token).has_value());
  int64_t graphs = 0, single_waits = 0;
  for (int64_t i = 0; i < 2 * kAnswer; ++i) {
    const cuda_on_cpu::RuntimeCounts before = cuda_on_cpu::Counts();
    const uint64_t launched = engine->device()->Counts().launches;
    ASSERT_TRUE(runner.Feed({&token, 1}, greedy, &token, StepKind::kDecode).has_value());
    const cuda_on_cpu::RuntimeCounts after = cuda_on_cpu::Counts();
    const uint64_t launches = engine->device()->Counts().launches - launched;
    if (launches == 0) continue;
    EXPECT_EQ(launches, 1u);
    ++graphs;
    if (after.waits - before.waits == 1 && after.batches == before.batches) ++single_waits;
    // However many layers lacked something, each was waited for once; a block that is complete is
    // fetched.
    EXPECT_LE(after.waits - before.waits, 2u + kLayers);
    EXPECT_LE(after.batches - before.batches, uint64_t{kLayers});
  }
  EXPECT_GT(graphs, 8);
  EXPECT_GT(single_waits, 5);
  std::vector<float> logits;
  const uint64_t waits = cuda_on_cpu::Counts().waits;
  ASSERT_TRUE(runner.Feed({&token, 1}, &logits, StepKind::kDecode).has_value());
  EXPECT_GE(cuda_on_cpu::Counts().waits, waits + 2);
}

// Whatever call fails: the step fails with words, nothing is added, and the next try goes on.
TEST_P(DeviceLlamaTest, AStepThatFailsCanBeTriedAgain) {
  LoadedLlama on_host = Load(LinearKind::kF32, std::nullopt), model = Load(LinearKind::kF32, 0);
  auto host_engine = OpenEngine({.host_bytes = 8 << 20});
  const Outcome expected = RunSession(on_host, *host_engine, Options());
  int failures = 0, unnoticed = 0;
  auto engine = OpenEngine(OnDevice());
  auto session = engine->CreateSession("s", model.Shape(8, DType::kF32), Options(), "{}").value();
  SessionAttention attention(*session);
  Runner runner(*model.llama, attention, model.landmark(), 20);
  Sampler greedy;
  uint32_t token = 0;
  ASSERT_TRUE(runner.Feed(Text(), greedy, &token).has_value());
  for (int64_t i = 0; i < kAnswer; ++i) {
    ASSERT_EQ(token, expected.tokens[static_cast<size_t>(i)]);
    const int64_t rows = session->rows();
    for (int call = 1 + static_cast<int>(i % 5);; call += 5) {
      cuda_on_cpu::FailCall(call);
      uint32_t next = 0;
      const Status fed = runner.Feed({&token, 1}, greedy, &next, StepKind::kDecode);
      const bool due = cuda_on_cpu::FailureIsDue();
      cuda_on_cpu::FailCall(0);
      if (fed) {
        if (!due) ++unnoticed;
        token = next;
        break;
      }
      ++failures;
      ASSERT_EQ(session->rows(), rows);
      ASSERT_TRUE(fed.error().code == Errc::kIo || fed.error().code == Errc::kResource);
      ASSERT_NE(fed.error().message.find("CUDA") == std::string::npos,
                fed.error().message.find("cuBLASLt") == std::string::npos)
          << fed.error().message;
    }
  }
  EXPECT_GT(failures, 100);
  // A capture, in whose place steps are launched one by one; what cuBLASLt lacks memory for, in
  // whose place the host attends.
  EXPECT_LE(unnoticed, 5);
}

INSTANTIATE_TEST_SUITE_P(Models, DeviceLlamaTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "landmarks" : "unmodified"; });

TEST(DeviceLlama, WeightsThatDoNotFitAreRefusedWithWhatTheyNeed) {
  const test::ScratchDirectory directory;
  const test::TinyModelOptions options;
  ASSERT_TRUE(test::WriteTinyModel(directory.File("m"), options).has_value());
  cuda_on_cpu::SetMemory(40 << 10);
  auto file = GgufFile::Open(directory.File("m")).value();
  const auto model = Llama::Load(file, AdapterSet(), LinearKind::kF32, 0);
  cuda_on_cpu::SetMemory(size_t{64} << 20);
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().code, Errc::kResource);
  EXPECT_NE(model.error().message.find("cuda:0 has 40.0 KiB free"), std::string::npos)
      << model.error().message;
}

}  // namespace
}  // namespace cairn
