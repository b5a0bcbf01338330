// A model on a device for several sessions, and whose logits are asked in any order.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/dense_attention.h"
#include "model/runner.h"
#include "model/session_attention.h"
#include "tests/model/model_runs.h"

namespace cairn {
namespace {

using test::LoadedLlama;
using test::Retrieving;
using test::SomeTokens;

class DeviceLlamaTurns : public testing::TestWithParam<bool> {
 protected:
  LoadedLlama Load(std::optional<int32_t> device) const {
    return files_.Load(LinearKind::kF32, device);
  }

  const test::TinyFiles files_{GetParam()};
};

void ExpectNear(const std::vector<float>& found, const std::vector<float>& expected) {
  test::ExpectLogitsNear(found, expected, 1e-3f);
}

// Logits after each token of two sessions that take turns, choose more and fewer blocks, and are
// reverted. A turn has three tokens: all may be missing, all is there, a graph.
std::vector<float> Turns(LoadedLlama& model, const EngineOptions& options) {
  auto engine = test::OpenEngine(options);
  std::unique_ptr<Session> sessions[2];
  std::vector<float> all;
  const auto choosing = [&](int32_t few) {
    return Retrieving(test::Choosing(few, model.landmark() != nullptr));
  };
  const auto feed = [&](int session, std::span<const uint32_t> tokens, StepKind kind) {
    SessionAttention attention(*sessions[session]);
    Runner runner(*model.llama, attention, model.landmark(), test::kMostRows);
    std::vector<float> logits;
    EXPECT_TRUE(runner.Feed(tokens, &logits, kind).has_value());
    all.insert(all.end(), logits.begin(), logits.end());
  };
  for (const int i : {0, 1}) {
    sessions[i] =
        engine->CreateSession(std::to_string(i), model.Shape(8, DType::kF32), choosing(3), "{}")
            .value();
    feed(i, SomeTokens(50, static_cast<uint32_t>(i)), StepKind::kRead);
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
    EXPECT_TRUE(session.SetOptions(choosing(turn.retrieve)).has_value());
    for (const uint32_t token : SomeTokens(3, ++seed))
      feed(turn.session, {&token, 1}, StepKind::kDecode);
  }
  return all;
}

TEST_P(DeviceLlamaTurns, AGraphIsOfTheSameSessionAndStep) {
  LoadedLlama on_host = Load(std::nullopt), there = Load(0);
  ExpectNear(Turns(there, test::OnDevice()), Turns(on_host, test::OnHost()));
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
    for (const uint32_t token : SomeTokens(rows, 9)) ids.push_back(static_cast<int32_t>(token));
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
}

INSTANTIATE_TEST_SUITE_P(Models, DeviceLlamaTurns, testing::Bool(),
                         [](const auto& info) { return info.param ? "landmarks" : "unmodified"; });

}  // namespace
}  // namespace cairn
