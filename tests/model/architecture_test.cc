// Every architecture against Hugging Face transformers, on tiny random models and by float64
// (tools/reference/make_architectures.py).
#include "model/architecture.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/dense_attention.h"
#include "tests/support/loaded_llama.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr const char* kFolder = CAIRN_TEST_DATA "/architectures/";
constexpr int32_t kBlockRows = 8;

/// Logits are of order 1. A few dozens of sums in f32 are off by some millionths; a row of weights
/// out of order, or a bias left out, by a tenth.
constexpr double kTolerance = 5e-5;

class ArchitectureTest : public testing::TestWithParam<std::string> {
 protected:
  ArchitectureTest() {
    std::ifstream file(std::string(kFolder) + "logits.json");
    golden_ = json::parse(file)["models"][GetParam()];
  }

  json golden_;
};

TEST_P(ArchitectureTest, SaysWhatTransformersSays) {
  const test::LoadedLlama model(kFolder + GetParam() + ".gguf", "", LinearKind::kF32);
  DenseAttention attention(model.Shape(kBlockRows, DType::kF32));
  const std::vector<int32_t> ids = golden_["ids"];
  const auto hidden = model.llama->Forward(ids, attention);
  ASSERT_TRUE(hidden.has_value()) << hidden.error().message;
  const auto vocab = static_cast<size_t>(model.llama->config().vocab);
  std::vector<float> logits(ids.size() * vocab);
  const auto rows = static_cast<int64_t>(ids.size());
  ASSERT_TRUE(model.llama->Logits(hidden.value(), rows, logits.data()).has_value());
  for (size_t i = 0; i < golden_["positions"].size(); ++i) {
    const size_t position = golden_["positions"][i];
    ASSERT_EQ(golden_["logits"][i].size(), vocab);
    for (size_t id = 0; id < vocab; ++id) {
      const double expected = golden_["logits"][i][id];
      ASSERT_NEAR(logits[position * vocab + id], expected, kTolerance)
          << "token " << id << " after position " << position;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ArchitectureTest, testing::Values("llama", "qwen2", "qwen3"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace cairn
