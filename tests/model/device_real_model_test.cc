// SmolLM2-135M-Instruct on a device, beside the CPU: logits behind some hundred tokens of a text.
// In the environment CAIRN_MODEL, CAIRN_ADAPTER and CAIRN_TEXT name other files than those of the
// build and of bible-kjv, and CAIRN_TEST_TOKENS says behind how many tokens. The stand-in for CUDA
// takes minutes, and is asked only if that says so; CAIRN_CUDA_ON_CPU_MIB=700 is enough.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "base/device.h"
#include "base/matmul.h"
#include "model/session_attention.h"
#include "model/tokenizer.h"
#include "tests/model/model_runs.h"
#include "tests/support/bible_text.h"
#include "tests/support/real_model.h"

namespace cairn {
namespace {

using test::Distance;
using test::LoadedLlama;
using test::Outcome;

constexpr int64_t kAnswer = 16;
constexpr int32_t kBlockTokens = 64, kMostRows = 128;

std::string Named(const char* variable, const std::string& otherwise) {
  const char* const named = std::getenv(variable);
  return named != nullptr && *named != '\0' ? named : otherwise;
}

int64_t TextTokens() { return std::stoll(Named("CAIRN_TEST_TOKENS", "640")); }

std::string Text() {
  const auto bytes = static_cast<size_t>(8 * (TextTokens() + kAnswer));
  const std::string path = Named("CAIRN_TEXT", "");
  if (path.empty()) return test::BibleText(bytes);
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  return text.substr(0, bytes);
}

class RealModel : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (test::RealModelPath().empty()) GTEST_SKIP() << test::kNoRealModel;
    if (Device::Open(0).value()->model() == "CPU" && Named("CAIRN_TEST_TOKENS", "").empty()) {
      GTEST_SKIP() << "takes minutes without a GPU; say CAIRN_TEST_TOKENS";
    }
    if (FastMatmulType() != DType::kBF16) GTEST_SKIP() << "products of bf16 are not for this CPU";
    text_ = Text();
    if (text_.empty()) GTEST_SKIP() << test::kNoBible;
  }
  static std::string Adapter() {
    const std::string own = CAIRN_SOURCE_DIR "/model/adapters/smollm2-135m-landmark.gguf";
    return GetParam() ? Named("CAIRN_ADAPTER", own) : "";
  }
  /// Reads the text and goes on with it.
  Outcome Read(LinearKind kind, std::optional<int32_t> device, DType kv_type) const {
    LoadedLlama model(test::RealModelPath(), Adapter(), kind, device);
    const auto tokenizer = Tokenizer::FromGguf(*model.file).value();
    std::vector<uint32_t> tokens = tokenizer.Encode(text_);
    const int64_t count = TextTokens();
    EXPECT_GE(std::ssize(tokens), count + kAnswer);
    const std::vector<uint32_t> next(tokens.begin() + count, tokens.begin() + count + kAnswer);
    tokens.resize(static_cast<size_t>(count));
    SessionOptions options;
    // All, with landmarks: those of the first layer are equal, and what a GPU chooses of them is
    // chance.
    options.retrieve = GetParam() ? 16 : 4;
    options.recent_tokens = 64;
    options.max_step_rows = kMostRows;
    auto engine = test::OpenEngine({.host_bytes = 128 << 20,
                                    .compute_bytes = device.has_value() ? 64u << 20 : 0u,
                                    .device = device});
    auto session =
        engine->CreateSession("s", model.Shape(kBlockTokens, kv_type), options, "{}").value();
    EXPECT_EQ(session->StepsOnDevice(), device.has_value());
    SessionAttention attention(*session);
    return test::Run(model, attention, tokens, kAnswer, &next, kMostRows);
  }

  std::string text_;
};

TEST_P(RealModel, LogitsAreThoseOfTheCpu) {
  const Outcome exact = Read(LinearKind::kF32, std::nullopt, DType::kF32);
  const Outcome on_host = Read(LinearKind::kFast, std::nullopt, DType::kF16);
  const Outcome there = Read(LinearKind::kFast, 0, DType::kF16);
  const Distance own = test::DistanceOf(on_host, exact), error = test::DistanceOf(there, exact);
  const Distance apart = test::DistanceOf(there, on_host);
  printf(
      "logits %s: %.2f %% of their spread off those of the CPU, %.2f %% at most; off exact ones "
      "%.2f %%, the CPU's %.2f %%\n",
      GetParam() ? "landmark" : "unmodified", 100 * apart.typical, 100 * apart.worst,
      100 * error.typical, 100 * own.typical);
  test::ExpectAsNear(there, on_host, exact, true);
}

INSTANTIATE_TEST_SUITE_P(SmolLm2, RealModel, testing::Bool(),
                         [](const auto& info) { return info.param ? "landmark" : "unmodified"; });

}  // namespace
}  // namespace cairn
