// A model on a device with weights of bf16 and keys and values of fewer bits is as near to exact
// numbers as the CPU is.
//
// bf16 has 8 bits, so each number that is multiplied is off by up to 2^-9 of itself, on the CPU
// (oneDNN) as on a device. What that comes to in logits follows from the model. So the measure is
// how far the CPU is off what it says itself with products and payloads of f32. Both round the same
// numbers in the same places; only sums are added in another order, so that some are rounded the
// other way. Over hundreds of logits of a token that changes the distance little. Where blocks are
// chosen, two of nearly the same weight may change places, which is much for a few tokens; so only
// the median of all tokens is compared then.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/matmul.h"
#include "model/session_attention.h"
#include "tests/model/model_runs.h"

namespace cairn {
namespace {

using test::Distance;
using test::LoadedLlama;
using test::Outcome;

constexpr int64_t kText = 70, kAnswer = 24;
constexpr int32_t kBlockRows = 8, kFew = 3, kAll = 30;  // blocks chosen of some ten

struct Model {
  const char* name;
  DType kv_type;
  int layers, heads, kv_heads, head_dim;
};

class DeviceBf16 : public testing::TestWithParam<std::tuple<Model, bool>> {
 protected:
  void SetUp() override {
    if (FastMatmulType() != DType::kBF16) GTEST_SKIP() << "this CPU has no products of bf16";
  }
  static const Model& model() { return std::get<Model>(GetParam()); }
  static test::TinyModelOptions ModelOptions() {
    test::TinyModelOptions options;
    options.layers = model().layers;
    options.heads = model().heads;
    options.kv_heads = model().kv_heads;
    options.head_dim = model().head_dim;
    options.ffn = 64;
    options.tied = false;  // or most tokens would say themselves
    return options;
  }
  static test::TinyAdapterOptions AdapterOptions() {
    test::TinyAdapterOptions options;
    options.landmark = std::get<bool>(GetParam());
    options.regular_tokens = kBlockRows - 1;
    return options;
  }
  /// Logits of an answer, whose tokens are `said` or what comes out.
  Outcome Answer(LinearKind kind, std::optional<int32_t> device, DType kv_type, int32_t retrieve,
                 const std::vector<uint32_t>* said = nullptr) const {
    LoadedLlama loaded = files_.Load(kind, device);
    auto engine = test::OpenEngine(device.has_value() ? test::OnDevice() : test::OnHost());
    auto session = engine
                       ->CreateSession("s", loaded.Shape(kBlockRows, kv_type),
                                       test::Retrieving(retrieve), "{}")
                       .value();
    EXPECT_EQ(session->StepsOnDevice(), device.has_value());
    SessionAttention attention(*session);
    return test::Run(loaded, attention, test::SomeTokens(kText, 5), kAnswer, said);
  }

  const test::TinyFiles files_{ModelOptions(), AdapterOptions()};
};

TEST_P(DeviceBf16, IsAsNearToExactNumbersAsTheCpu) {
  const int32_t few = test::Choosing(kFew, std::get<bool>(GetParam()));
  for (const int32_t retrieve : {kAll, few}) {
    SCOPED_TRACE(retrieve);
    const Outcome exact = Answer(LinearKind::kF32, std::nullopt, DType::kF32, retrieve);
    const auto run = [&](LinearKind kind, std::optional<int32_t> device) {
      return Answer(kind, device, model().kv_type, retrieve, &exact.tokens);
    };
    const Outcome on_host = run(LinearKind::kFast, std::nullopt), there = run(LinearKind::kFast, 0);
    test::ExpectAsNear(there, on_host, exact, retrieve == kAll);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, DeviceBf16,
                         testing::Combine(testing::Values(Model{"f16", DType::kF16, 3, 4, 2, 16},
                                                          Model{"bf16", DType::kBF16, 2, 4, 4, 16},
                                                          Model{"q8", DType::kQ8, 2, 6, 1, 32}),
                                          testing::Bool()),
                         [](const auto& info) {
                           return std::string(std::get<Model>(info.param).name) +
                                  (std::get<bool>(info.param) ? "_landmarks" : "_unmodified");
                         });

}  // namespace
}  // namespace cairn
