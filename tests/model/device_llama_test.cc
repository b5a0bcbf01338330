// What work and how many waits a model's steps on a device are, and what becomes of those that
// fail, as the stand-in for CUDA counts them and lets them fail.
#include "model/device_llama.h"

#include <gtest/gtest.h>

#include "model/dense_attention.h"
#include "model/runner.h"
#include "model/sampler.h"
#include "model/session_attention.h"
#include "tests/model/model_runs.h"
#include "tests/support/cuda_on_cpu/runtime.h"

namespace cairn {
namespace {

using test::LoadedLlama;
using test::OnDevice;
using test::OpenEngine;
using test::Retrieving;
using test::SomeTokens;

constexpr int32_t kLayers = 3;
constexpr int64_t kText = 50, kAnswer = 24;
constexpr int32_t kBlockRows = 8;
constexpr int kMostCalls = 1000;  // that can fail, of a step: more than there are

class DeviceLlamaTest : public testing::TestWithParam<bool> {
 protected:
  LoadedLlama Load(std::optional<int32_t> device) const {
    return files_.Load(LinearKind::kF32, device);
  }

  const test::TinyFiles files_{GetParam(), kLayers};
};

// Where all blocks are there a token is a graph and a wait, and one more for logits if they are
// wanted.
TEST_P(DeviceLlamaTest, ATokenIsAGraphAndAWait) {
  LoadedLlama model = Load(0);
  auto engine = OpenEngine(OnDevice());
  auto session =
      engine->CreateSession("s", model.Shape(8, DType::kF32), Retrieving(3), "{}").value();
  SessionAttention attention(*session);
  Runner runner(*model.llama, attention, model.landmark(), test::kMostRows);
  Sampler greedy;
  uint32_t token = 0;
  ASSERT_TRUE(runner.Feed(SomeTokens(kText, 1), greedy, &token).has_value());
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
  LoadedLlama on_host = Load(std::nullopt), model = Load(0);
  auto host_engine = OpenEngine(test::OnHost());
  auto host_session =
      host_engine->CreateSession("s", on_host.Shape(8, DType::kF32), Retrieving(3), "{}").value();
  SessionAttention host_attention(*host_session);
  const std::vector<uint32_t> expected =
      test::Run(on_host, host_attention, SomeTokens(kText, 1), kAnswer).tokens;
  int failures = 0, unnoticed = 0;
  auto engine = OpenEngine(OnDevice());
  auto session =
      engine->CreateSession("s", model.Shape(8, DType::kF32), Retrieving(3), "{}").value();
  SessionAttention attention(*session);
  Runner runner(*model.llama, attention, model.landmark(), test::kMostRows);
  Sampler greedy;
  uint32_t token = 0;
  ASSERT_TRUE(runner.Feed(SomeTokens(kText, 1), greedy, &token).has_value());
  for (int64_t i = 0; i < kAnswer; ++i) {
    ASSERT_EQ(token, expected[static_cast<size_t>(i)]);
    const int64_t rows = session->rows();
    for (int call = 1 + static_cast<int>(i % 5);; call += 5) {
      ASSERT_LT(call, kMostCalls) << "the step fails though no call does";
      const uint64_t captures = cuda_on_cpu::Counts().captures;
      const uint64_t graphs = engine->device()->Counts().launches;
      cuda_on_cpu::FailCall(call);
      uint32_t next = 0;
      const Status fed = runner.Feed({&token, 1}, greedy, &next, StepKind::kDecode);
      const bool due = cuda_on_cpu::FailureIsDue();
      cuda_on_cpu::FailCall(0);
      if (fed) {
        // In place of a capture that fails steps are launched one by one.
        const bool launched = cuda_on_cpu::Counts().captures > captures &&
                              engine->device()->Counts().launches == graphs;
        if (!due && !launched) ++unnoticed;
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
  // What cuBLASLt lacks memory for, in whose place the host attends.
  EXPECT_LE(unnoticed, 4);
}

// Tokens behind a text, one by one, as a device makes them.
class Decoding {
 public:
  explicit Decoding(LoadedLlama& model)
      : engine_(OpenEngine(OnDevice())),
        session_(
            engine_->CreateSession("s", model.Shape(kBlockRows, DType::kF32), Retrieving(100), "{}")
                .value()),
        attention_(*session_),
        runner_(*model.llama, attention_, model.landmark(), test::kMostRows) {
    EXPECT_TRUE(runner_.Feed(SomeTokens(kText, 1), greedy_, &token_).has_value());
  }

  struct Made {
    bool good;
    uint64_t captures, graphs;  // begun, and run
  };
  Made Next() {
    const uint64_t captures = cuda_on_cpu::Counts().captures, graphs = Graphs();
    uint32_t next = token_;
    const bool good = runner_.Feed({&token_, 1}, greedy_, &next, StepKind::kDecode).has_value();
    token_ = next;
    return {good, cuda_on_cpu::Counts().captures - captures, Graphs() - graphs};
  }
  /// The same with one call that fails, counted from 1.
  Made NextFailing(int call) {
    cuda_on_cpu::FailCall(call);
    const Made made = Next();
    const bool due = cuda_on_cpu::FailureIsDue();
    cuda_on_cpu::FailCall(0);
    EXPECT_FALSE(due) << "there are less than " << call << " calls";
    return made;
  }
  int64_t blocks() const { return session_->rows() / kBlockRows; }
  int64_t rows_of_block() const { return session_->rows() % kBlockRows; }

 private:
  uint64_t Graphs() const { return engine_->device()->Counts().launches; }

  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Session> session_;
  SessionAttention attention_;
  Runner runner_;
  Sampler greedy_;
  uint32_t token_ = 0;
};

// Steps within a block launch the same, those in the next one something else. Whichever call of a
// capture fails, steps are launched kernel by kernel to the end of their block.
TEST_P(DeviceLlamaTest, ACaptureThatFailedIsTriedAgainInTheNextBlock) {
  LoadedLlama model = Load(0);
  Decoding decoding(model);
  int64_t captured_behind = -1;  // rows of a block, where all is there that steps read
  for (const int64_t first = decoding.blocks(); decoding.blocks() < first + 3;) {
    const int64_t rows = decoding.rows_of_block();
    const Decoding::Made made = decoding.Next();
    ASSERT_TRUE(made.good);
    if (made.captures > 0) captured_behind = rows;
  }
  ASSERT_GE(captured_behind, 0);
  int first = 1;  // call of such a step that is one of its capture
  for (const int later : {0, 1, 5, 30}) {
    while (decoding.rows_of_block() != captured_behind) ASSERT_TRUE(decoding.Next().good);
    Decoding::Made made = decoding.NextFailing(first + later);
    while (later == 0 && !made.good) {
      ASSERT_LT(first, kMostCalls);
      made = decoding.NextFailing(++first);
    }
    ASSERT_TRUE(made.good) << later;
    EXPECT_EQ(made.captures, 1u) << later;
    EXPECT_EQ(made.graphs, 0u) << later;
    const int64_t block = decoding.blocks();
    while (decoding.blocks() == block) {
      made = decoding.Next();
      ASSERT_TRUE(made.good);
      EXPECT_EQ(made.captures + made.graphs, 0u) << "the same launches are tried again";
    }
    uint64_t captures = 0, graphs = 0;
    while (decoding.blocks() == block + 1) {
      made = decoding.Next();
      ASSERT_TRUE(made.good);
      captures += made.captures;
      graphs += made.graphs;
    }
    EXPECT_EQ(captures, 1u) << later;
    EXPECT_GT(graphs, 1u) << later;
  }
}

TEST_P(DeviceLlamaTest, AStepThatFailedHasNoLogits) {
  LoadedLlama model = Load(0);
  DenseAttention dense(model.Shape(8, DType::kF32));
  const float* const before = model.llama->Forward({{3, 4, 5}}, dense, StepKind::kDecode).value();
  ASSERT_TRUE(model.llama->Likeliest(before).has_value());
  cuda_on_cpu::FailCall(12);
  EXPECT_FALSE(model.llama->Forward({{3, 4, 5}}, dense, StepKind::kDecode).has_value());
  cuda_on_cpu::FailCall(0);
  EXPECT_FALSE(model.llama->Likeliest(before).has_value());
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
