// A model on a device comes to what it comes to on the host, whether a GPU or the stand-in of
// tests/support/cuda_on_cpu: over attention of the host and whole steps, wherever blocks are, and
// whatever becomes of sessions. Products are of f32 here; device_bf16_test.cc has those of bf16.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "engine/step_attention.h"
#include "model/dense_attention.h"
#include "model/runner.h"
#include "model/sampler.h"
#include "model/session_attention.h"
#include "storage/block_table.h"
#include "storage/rocks_cold_store.h"
#include "storage/slab_pool.h"
#include "tests/model/model_runs.h"
#include "tests/support/cuda_on_cpu/thread_block.h"

namespace cairn {
namespace {

using test::ExpectLogitsNear;
using test::LoadedLlama;
using test::OnDevice;
using test::OnHost;
using test::OpenEngine;
using test::Outcome;
using test::Retrieving;
using test::SomeTokens;

// Two ways of adding some hundred numbers of f32 are a millionth of them apart, and logits are of
// order 1. A few layers of sharp attention make more of it; a wrong block or row makes a thousand
// times as much.
constexpr float kBound = 1e-3f;
constexpr int64_t kText = 50, kAnswer = 20;
constexpr int32_t kBlockTokens = 8;  // of models without landmarks

struct Model {
  const char* name;
  const char* architecture;
  bool landmark;
  int layers, heads, kv_heads, head_dim;
};

SessionOptions Three(bool landmark, bool mixed = false) {
  return Retrieving(test::Choosing(3, landmark, mixed));
}

class DeviceParity : public testing::TestWithParam<Model> {
 protected:
  static test::TinyModelOptions ModelOptions() {
    test::TinyModelOptions options;
    options.architecture = GetParam().architecture;
    options.layers = GetParam().layers;
    options.heads = GetParam().heads;
    options.kv_heads = GetParam().kv_heads;
    options.head_dim = GetParam().head_dim;
    options.ffn = 64;
    options.tied = false;  // or most tokens would say themselves
    return options;
  }
  static test::TinyAdapterOptions AdapterOptions() {
    test::TinyAdapterOptions options;
    options.landmark = GetParam().landmark;
    options.regular_tokens = 7;
    return options;
  }
  LoadedLlama Load(std::optional<int32_t> device) const {
    return files_.Load(LinearKind::kF32, device);
  }
  static std::unique_ptr<Session> Create(LoadedLlama& model, Engine& engine, bool mixed = false) {
    return engine
        .CreateSession("s", model.Shape(kBlockTokens, DType::kF32),
                       Three(GetParam().landmark, mixed), "{}")
        .value();
  }
  static Outcome RunIn(Session& session, LoadedLlama& model, int64_t text = kText) {
    SessionAttention attention(session);
    return test::Run(model, attention, SomeTokens(text, 1), kAnswer);
  }
  static void ExpectSame(const Outcome& found, const Outcome& expected) {
    EXPECT_EQ(found.tokens, expected.tokens);
    ExpectLogitsNear(found.logits, expected.logits, kBound);
  }

  const test::TinyFiles files_{ModelOptions(), AdapterOptions()};
};

TEST_P(DeviceParity, ASessionThereGivesWhatItGivesOnTheHost) {
  LoadedLlama on_host = Load(std::nullopt), there = Load(0);
  EXPECT_GT(there.llama->weight_bytes(), 0u);
  auto host_engine = OpenEngine(OnHost());
  const Outcome expected = RunIn(*Create(on_host, *host_engine), on_host);
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    cuda_on_cpu::SetOrderSeed(seed);
    auto engine = OpenEngine(OnDevice());
    auto session = Create(there, *engine);
    ASSERT_TRUE(session->StepsOnDevice());
    ExpectSame(RunIn(*session, there), expected);
  }
  // The likeliest token comes from the device, without logits.
  auto engine = OpenEngine(OnDevice());
  auto session = Create(there, *engine);
  SessionAttention attention(*session);
  Runner runner(*there.llama, attention, there.landmark(), test::kMostRows);
  Sampler greedy;
  std::vector<uint32_t> answer(1);
  ASSERT_TRUE(runner.Feed(SomeTokens(kText, 1), greedy, &answer[0]).has_value());
  while (std::ssize(answer) < kAnswer) {
    uint32_t next = 0;
    ASSERT_TRUE(runner.Feed({&answer.back(), 1}, greedy, &next, StepKind::kDecode).has_value());
    answer.push_back(next);
  }
  EXPECT_EQ(answer, expected.tokens);
}

TEST_P(DeviceParity, AttentionOfTheHostIsAskedWhereADeviceCannot) {
  LoadedLlama on_host = Load(std::nullopt), there = Load(0);
  DenseAttention host_dense(on_host.Shape(kBlockTokens, DType::kF32));
  DenseAttention dense(there.Shape(kBlockTokens, DType::kF32));
  const std::vector<uint32_t> text = SomeTokens(kText, 1);
  ExpectSame(test::Run(there, dense, text, kAnswer), test::Run(on_host, host_dense, text, kAnswer));

  auto host_engine = OpenEngine(OnHost());
  const Outcome expected = RunIn(*Create(on_host, *host_engine), on_host);
  auto no_device = OpenEngine(OnHost());
  ExpectSame(RunIn(*Create(there, *no_device), there), expected);
  auto engine = OpenEngine(OnDevice());
  auto session = Create(there, *engine);
  StepLog log;
  session->Observe(&log);
  ExpectSame(RunIn(*session, there), expected);
  EXPECT_FALSE(log.blocks.empty());
}

// Tokens of an answer are graphs, but for those around the end of a block.
TEST_P(DeviceParity, GraphsAreReplayedBehindTheEndsOfBlocks) {
  constexpr int64_t kLong = 5 * kBlockTokens;
  LoadedLlama on_host = Load(std::nullopt), there = Load(0);
  auto engine = OpenEngine(OnDevice()), host_engine = OpenEngine(OnHost());
  auto session = Create(there, *engine), host_session = Create(on_host, *host_engine);
  SessionAttention attention(*session), host_attention(*host_session);
  Runner runner(*there.llama, attention, there.landmark(), test::kMostRows);
  Runner host_runner(*on_host.llama, host_attention, on_host.landmark(), test::kMostRows);
  std::vector<float> logits, expected;
  ASSERT_TRUE(runner.Feed(SomeTokens(kText, 1), &logits).has_value());
  ASSERT_TRUE(host_runner.Feed(SomeTokens(kText, 1), &expected).has_value());
  std::vector<int64_t> graphs;  // in each block of the answer
  for (const uint32_t token : SomeTokens(kLong, 2)) {
    const auto block = static_cast<size_t>(session->rows() / kBlockTokens - kText / kBlockTokens);
    graphs.resize(std::max(graphs.size(), block + 1));
    const uint64_t before = engine->device()->Counts().launches;
    ASSERT_TRUE(runner.Feed({&token, 1}, &logits, StepKind::kDecode).has_value());
    ASSERT_TRUE(host_runner.Feed({&token, 1}, &expected, StepKind::kDecode).has_value());
    graphs[block] += static_cast<int64_t>(engine->device()->Counts().launches - before);
    ExpectLogitsNear(logits, expected, kBound);
  }
  EXPECT_GT(std::count_if(graphs.begin(), graphs.end(), [](int64_t n) { return n > 1; }), 2);
}

// A past that is read by one, goes on on the other, and is asked of by either, in a store on disk.
TEST_P(DeviceParity, WhatIsOnDiskGoesOnOnEither) {
  // Of each half the last step completes no block.
  const int64_t half = GetParam().landmark ? 20 : 22;
  const std::vector<uint32_t> text = SomeTokens(2 * half, 1), question = SomeTokens(5, 2);
  LoadedLlama on_host = Load(std::nullopt), there = Load(0);
  const SessionShape shape = there.Shape(kBlockTokens, DType::kF32);
  const SessionOptions options = Three(GetParam().landmark, true);
  std::optional<Outcome> expected;  // of the host alone
  struct Turns {
    bool first, second, answer;  // on the device
  };
  for (const Turns on_device : {Turns{false, false, false},
                                {false, true, false},
                                {true, false, true},
                                {true, true, true}}) {
    SCOPED_TRACE(testing::Message()
                 << "on the device: " << on_device.first << on_device.second << on_device.answer);
    const test::ScratchDirectory directory;
    const auto open = [&](bool device) {
      auto cold = RocksColdStore::Open(directory.File("store"), {.create = true}).value();
      return Engine::Open(std::move(cold), device ? OnDevice() : OnHost()).value();
    };
    for (const bool second : {false, true}) {
      const bool device = second ? on_device.second : on_device.first;
      LoadedLlama& model = device ? there : on_host;
      auto engine = open(device);
      auto session =
          second ? engine->OpenSession("s", shape, Retrieving(3)).value() : Create(model, *engine);
      SessionAttention attention(*session);
      Runner runner(*model.llama, attention, model.landmark(), test::kMostRows);
      const auto part = std::span(text).subspan(second ? half : 0, half);
      ASSERT_TRUE(runner.Feed(part, nullptr).has_value());
      session->AddTokens(part);
      ASSERT_TRUE(session->Commit("{}").has_value());
    }
    LoadedLlama& model = on_device.answer ? there : on_host;
    auto engine = open(on_device.answer);
    auto session = engine->OpenSession("s", shape, options).value();
    SessionAttention attention(*session);
    const Outcome found = test::Run(model, attention, question, kAnswer);
    if (expected.has_value()) {
      ExpectSame(found, *expected);
    } else {
      expected = found;
    }
  }
}

// Two sessions that share a past go on differently, in turns, and one of them goes back.
TEST_P(DeviceParity, ForksGoTheirOwnWays) {
  LoadedLlama on_host = Load(std::nullopt), there = Load(0);
  std::vector<float> all[2];
  for (const bool on_device : {false, true}) {
    auto engine = OpenEngine(on_device ? OnDevice() : OnHost());
    LoadedLlama& model = on_device ? there : on_host;
    std::unique_ptr<Session> sessions[2];
    sessions[0] = Create(model, *engine);
    const auto feed = [&](int which, std::span<const uint32_t> tokens, StepKind kind) {
      SessionAttention attention(*sessions[which]);
      Runner runner(*model.llama, attention, model.landmark(), test::kMostRows);
      std::vector<float> logits;
      EXPECT_TRUE(runner.Feed(tokens, &logits, kind).has_value());
      sessions[which]->AddTokens(tokens);
      all[on_device].insert(all[on_device].end(), logits.begin(), logits.end());
    };
    feed(0, SomeTokens(kText, 1), StepKind::kRead);
    ASSERT_TRUE(sessions[0]->Commit("{}").has_value());
    const SessionRecord record = engine->catalog().Find("s").value();
    ASSERT_TRUE(engine->catalog().Fork(record, "t", std::nullopt).has_value());
    sessions[1] =
        engine->OpenSession("t", model.Shape(kBlockTokens, DType::kF32), Three(GetParam().landmark))
            .value();
    for (uint32_t turn = 0; turn < 6; ++turn) {
      const int which = static_cast<int>(turn % 2);
      for (const uint32_t token : SomeTokens(5, 10 + turn)) {
        feed(which, {&token, 1}, StepKind::kDecode);
      }
      feed(which, SomeTokens(13, 20 + turn), StepKind::kRead);
      if (turn == 2) {
        ASSERT_TRUE(sessions[0]->Revert().has_value());
      }
      if (turn == 3) {
        ASSERT_TRUE(sessions[1]->Commit("{}").has_value());
      }
    }
  }
  ExpectLogitsNear(all[1], all[0], kBound);
}

INSTANTIATE_TEST_SUITE_P(Models, DeviceParity,
                         testing::Values(Model{"landmarks", "llama", true, 3, 4, 2, 16},
                                         Model{"unmodified", "llama", false, 3, 4, 2, 16},
                                         Model{"unmodified_8_to_1", "llama", false, 2, 8, 1, 16},
                                         Model{"landmarks_1_to_1", "llama", true, 2, 3, 3, 24},
                                         Model{"qwen2", "qwen2", true, 2, 4, 2, 16},
                                         Model{"qwen3", "qwen3", false, 2, 4, 2, 16}),
                         [](const auto& info) { return std::string(info.param.name); });

// Choices by codes, of whole steps and of the host by the same index; most blocks are in a chunk of
// codes.
TEST(DeviceParityOfCodes, StepsChooseWhatTheHostChoosesByThem) {
  constexpr int32_t kRows = 4, kChunk = 256;  // rows of a block; vectors that are coded together
  test::TinyModelOptions model;
  model.tied = false;
  test::TinyAdapterOptions adapter;
  adapter.landmark = false;
  const test::TinyFiles files(model, adapter);
  LoadedLlama there = files.Load(LinearKind::kF32, 0);
  SessionShape shape = there.Shape(kRows, DType::kF32);
  shape.representatives = kRows;
  SessionOptions options = Retrieving(3);
  options.index = IndexKind::kInt8;
  auto engine = OpenEngine(OnDevice());
  auto session = engine->CreateSession("s", shape, options, "{}").value();
  ASSERT_EQ(session->index_name(), "device int8");
  SessionAttention attention(*session);
  Runner runner(*there.llama, attention, nullptr, test::kMostRows);
  const std::vector<uint32_t> text = SomeTokens(kChunk + 40, 1);
  ASSERT_TRUE(runner.Feed(text, nullptr).has_value());
  session->AddTokens(text);
  ASSERT_TRUE(session->Commit("{}").has_value());
  Outcome outcomes[2];
  StepLog log;
  for (const bool by_host : {false, true}) {
    session->Observe(by_host ? &log : nullptr);
    ASSERT_EQ(session->StepsOnDevice(), !by_host);
    outcomes[by_host] = test::Run(there, attention, SomeTokens(20, 2), kAnswer);
    ASSERT_TRUE(session->Revert().has_value());
  }
  EXPECT_EQ(outcomes[0].tokens, outcomes[1].tokens);
  ExpectLogitsNear(outcomes[0].logits, outcomes[1].logits, kBound);
}

// The compute tier holds no more blocks than a fetch may want.
TEST(DeviceParityOfTiers, APastThatTheDeviceDoesNotHold) {
  constexpr int32_t kRows = 4;
  constexpr int64_t kLong = 170;
  for (const bool landmark : {false, true}) {
    SCOPED_TRACE(landmark ? "landmarks" : "unmodified");
    test::TinyModelOptions small;
    small.layers = 4;
    small.kv_heads = 4;
    small.head_dim = 8;
    small.ffn = 32;
    small.tied = false;
    test::TinyAdapterOptions adapter;
    adapter.landmark = landmark;
    adapter.regular_tokens = kRows - 1;
    const test::TinyFiles files(small, adapter);
    LoadedLlama on_host = files.Load(LinearKind::kF32, std::nullopt);
    LoadedLlama there = files.Load(LinearKind::kF32, 0);
    const SessionShape shape = there.Shape(kRows, DType::kF32);
    const SessionOptions options = Three(landmark);
    const size_t payload = shape.block.payload_bytes();
    const uint64_t slots = StepAttention::MostBlocksPerFetch(shape, options);
    EngineOptions tight = OnDevice();
    tight.compute_bytes = slots * (SlabPool::SlotBytes(payload) + BlockTable::kBytesPerSlot);
    auto engine = OpenEngine(tight), host_engine = OpenEngine(OnHost());
    auto session = engine->CreateSession("s", shape, options, "{}").value();
    auto host_session = host_engine->CreateSession("s", shape, options, "{}").value();
    SessionAttention attention(*session), host_attention(*host_session);
    const std::vector<uint32_t> text = SomeTokens(kLong, 1);
    const Outcome found = test::Run(there, attention, text, kAnswer);
    ASSERT_LT(slots, static_cast<uint64_t>(kLong / kRows * shape.partitions()));
    EXPECT_GT(engine->tiers()->Report()[0].bytes_in, slots * payload) << "all of it fits";
    const Outcome expected = test::Run(on_host, host_attention, text, kAnswer);
    EXPECT_EQ(found.tokens, expected.tokens);
    ExpectLogitsNear(found.logits, expected.logits, kBound);
  }
}

}  // namespace
}  // namespace cairn
