// A model on a device for several sessions, and whose logits are asked in any order.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/engine.h"
#include "model/dense_attention.h"
#include "model/runner.h"
#include "model/session_attention.h"
#include "storage/memory_cold_store.h"
#include "tests/support/cuda_on_cpu/runtime.h"
#include "tests/support/loaded_llama.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/tiny_model.h"

namespace cairn {
namespace {

using test::LoadedLlama;

class DeviceLlamaTurns : public testing::TestWithParam<bool> {
 protected:
  DeviceLlamaTurns() {
    cuda_on_cpu::SetMemory(size_t{256} << 20);
    options_.ffn = 64;
    EXPECT_TRUE(test::WriteTinyModel(directory_.File("m"), options_).has_value());
    WriteAdapter(7);
  }
  ~DeviceLlamaTurns() override { cuda_on_cpu::SetMemory(size_t{64} << 20); }

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
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], 1e-3f) << i;
}

std::vector<uint32_t> Tokens(int64_t count, uint32_t seed) {
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < count; ++i) tokens.push_back(3 + (i * 37 + seed * 53) % 200);
  return tokens;
}

SessionOptions Retrieving(int32_t blocks) {
  SessionOptions options;
  options.retrieve = blocks;
  options.recent_tokens = 8;
  options.max_step_rows = 20;
  options.selection = Selection::kPerToken;
  return options;
}

// Logits after each token of two sessions that take turns, choose more and fewer blocks, and are
// reverted. A turn has three tokens: all may be missing, all is there, a graph.
std::vector<float> Turns(LoadedLlama& model, const EngineOptions& options) {
  auto engine = Engine::Open(std::make_unique<MemoryColdStore>(), options).value();
  std::unique_ptr<Session> sessions[2];
  std::vector<float> all;
  const auto feed = [&](int session, std::span<const uint32_t> tokens, StepKind kind) {
    SessionAttention attention(*sessions[session]);
    Runner runner(*model.llama, attention, model.landmark(), 20);
    std::vector<float> logits;
    EXPECT_TRUE(runner.Feed(tokens, &logits, kind).has_value());
    all.insert(all.end(), logits.begin(), logits.end());
  };
  for (const int i : {0, 1}) {
    sessions[i] =
        engine->CreateSession(std::to_string(i), model.Shape(8, DType::kF32), Retrieving(3), "{}")
            .value();
    feed(i, Tokens(50, static_cast<uint32_t>(i)), StepKind::kRead);
    EXPECT_TRUE(sessions[i]->Commit("{}").has_value());
  }
  struct Turn {
    int session, retrieve;
    bool revert = false;
  };
  uint32_t seed = 2;
  for (const Turn turn : {Turn{0, 3},
                          {1, 3},
                          {0, 3},
                          {0, 4},
                          {1, 4},
                          {0, 3},
                          {0, 3, true},
                          {0, 3},
                          {1, 3, true},
                          {1, 3},
                          {0, 3}}) {
    Session& session = *sessions[turn.session];
    if (turn.revert) {
      EXPECT_TRUE(session.Revert().has_value());
    }
    EXPECT_TRUE(session.SetOptions(Retrieving(turn.retrieve)).has_value());
    for (const uint32_t token : Tokens(3, ++seed))
      feed(turn.session, {&token, 1}, StepKind::kDecode);
  }
  return all;
}

TEST_P(DeviceLlamaTurns, AGraphIsOfTheSameSessionAndStep) {
  LoadedLlama on_host = Load(std::nullopt), there = Load(0);
  ExpectNear(Turns(there, {.host_bytes = 8 << 20, .compute_bytes = 1 << 20, .device = 0}),
             Turns(on_host, {.host_bytes = 8 << 20}));
}

// Where the device has no memory for a step there, the host makes it with what is there already.
TEST_P(DeviceLlamaTurns, AStepThatDoesNotFitIsMadeByTheHost) {
  LoadedLlama models[2] = {Load(std::nullopt), Load(0)};
  std::vector<float> all[2];
  for (const int there : {0, 1}) {
    LoadedLlama& model = models[there];
    EngineOptions engine_options = {.host_bytes = 8 << 20};
    if (there == 1) {
      engine_options.compute_bytes = 1 << 20;
      engine_options.device = 0;
    }
    auto engine = Engine::Open(std::make_unique<MemoryColdStore>(), engine_options).value();
    auto session =
        engine->CreateSession("s", model.Shape(8, DType::kF32), Retrieving(3), "{}").value();
    SessionAttention attention(*session);
    Runner runner(*model.llama, attention, model.landmark(), 20);
    const auto feed = [&](int64_t tokens, uint32_t seed) {
      std::vector<float> logits;
      const Status fed = runner.Feed(Tokens(tokens, seed), &logits);
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
      feed(rows, seed++);
    }
    cuda_on_cpu::SetMemory(size_t{256} << 20);
    feed(3, seed);
  }
  ExpectNear(all[1], all[0]);
}

// Rows of a longer step, which the host attends, do not fit where those of the graph are; the block
// that both are in is not complete, so that the next step launches what the one before did.
TEST_P(DeviceLlamaTurns, AGraphIsNotRunWhereItsMemoryIsElsewhere) {
  WriteAdapter(31);
  LoadedLlama models[2] = {Load(std::nullopt), Load(0)};
  std::vector<float> all[2];
  for (const int there : {0, 1}) {
    LoadedLlama& model = models[there];
    EngineOptions engine_options = {.host_bytes = 8 << 20};
    if (there == 1) {
      engine_options.compute_bytes = 4 << 20;
      engine_options.device = 0;
    }
    auto engine = Engine::Open(std::make_unique<MemoryColdStore>(), engine_options).value();
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
      for (const uint32_t token : Tokens(steps, seed)) feed(4, {&token, 1}, StepKind::kDecode);
      return there == 1 ? engine->device()->Counts().launches - before : 0;
    };
    feed(4, Tokens(132, 1), StepKind::kRead);
    EXPECT_EQ(decode(6, 2) > 0, there == 1);
    StepLog log;
    session->Observe(&log);
    feed(10, Tokens(10, 3), StepKind::kRead);
    session->Observe(nullptr);
    EXPECT_EQ(decode(6, 4) > 0, there == 1);
  }
  ExpectNear(all[1], all[0]);
}

std::vector<float> LogitsOf(LoadedLlama& model, const float* hidden, int64_t rows) {
  std::vector<float> logits(static_cast<size_t>(rows * model.llama->config().vocab));
  EXPECT_TRUE(model.llama->Logits(hidden, rows, logits.data()).has_value());
  return logits;
}

TEST_P(DeviceLlamaTurns, LogitsAreOfTheRowsThatAreAsked) {
  LoadedLlama on_host = Load(std::nullopt), there = Load(0);
  DenseAttention host_dense(on_host.Shape(8, DType::kF32)), dense(there.Shape(8, DType::kF32));
  const int64_t width = there.llama->config().hidden, vocab = there.llama->config().vocab;
  const auto forward = [&](int64_t rows) {
    std::vector<int32_t> ids;
    for (const uint32_t token : Tokens(rows, 9)) ids.push_back(static_cast<int32_t>(token));
    return std::pair(there.llama->Forward(ids, dense, StepKind::kDecode).value(),
                     on_host.llama->Forward(ids, host_dense, StepKind::kDecode).value());
  };
  auto [many, many_on_host] = forward(70);
  EXPECT_FALSE(there.llama->Likeliest(many).has_value()) << "of so many rows none are made";
  ExpectNear(LogitsOf(there, many, 70), LogitsOf(on_host, many_on_host, 70));

  auto [rows, rows_on_host] = forward(5);
  const std::vector<float> expected = LogitsOf(on_host, rows_on_host, 5);
  for (int64_t row = 0; row < 5; ++row) {
    const auto* const logits = expected.data() + row * vocab;
    const auto likeliest = there.llama->Likeliest(rows + row * width);
    ASSERT_TRUE(likeliest.has_value());
    EXPECT_EQ(*likeliest, std::max_element(logits, logits + vocab) - logits);
  }
  const std::vector<float> last(expected.begin() + 3 * vocab, expected.end());
  ExpectNear(LogitsOf(there, rows + 3 * width, 2), last);

  const std::vector<float> copied(rows_on_host, rows_on_host + 2 * width);
  EXPECT_FALSE(there.llama->Likeliest(copied.data()).has_value());
  ExpectNear(LogitsOf(there, copied.data(), 2), {expected.begin(), expected.begin() + 2 * vocab});
  EXPECT_FALSE(there.llama->Likeliest(rows).has_value()) << "others are where its logits were";
  ExpectNear(LogitsOf(there, rows + 3 * width, 2), last);

  const float* const before = forward(3).first;
  ASSERT_TRUE(there.llama->Likeliest(before).has_value());
  cuda_on_cpu::FailCall(12);
  EXPECT_FALSE(there.llama->Forward({{3, 4, 5}}, dense, StepKind::kDecode).has_value());
  cuda_on_cpu::FailCall(0);
  EXPECT_FALSE(there.llama->Likeliest(before).has_value());
}

// What was made is gone with the memory in which it was.
TEST_P(DeviceLlamaTurns, LogitsOfMoreRowsThanFitLeaveNone) {
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

INSTANTIATE_TEST_SUITE_P(Models, DeviceLlamaTurns, testing::Bool(),
                         [](const auto& info) { return info.param ? "landmarks" : "unmodified"; });

}  // namespace
}  // namespace cairn
