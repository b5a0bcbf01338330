// What the loader refuses, and that it names it.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "model/adapter_set.h"
#include "model/dense_attention.h"
#include "model/llama.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/loaded_llama.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/tiny_model.h"

namespace cairn {
namespace {

using test::GgufWriter;

struct Tensor {
  std::string name;
  std::vector<uint64_t> dims;
};

/// A model of one layer, hidden 8, 2 query heads of 4, 1 KV head, ffn 6 and 5 tokens; tests change
/// one thing about it.
struct Description {
  std::string type = "model", architecture = "llama", scaling;
  std::pair<std::string, float> factor;  // a key of this architecture
  std::string poisoned;                  // a tensor whose last number is `poison`
  float poison = 0.5f;
  uint32_t layers = 1, query_heads = 2, kv_heads = 1, rotary = 4, context = 64;
  std::vector<Tensor> tensors{
      {"token_embd.weight", {8, 5}},     {"output_norm.weight", {8}},
      {"blk.0.attn_norm.weight", {8}},   {"blk.0.ffn_norm.weight", {8}},
      {"blk.0.attn_q.weight", {8, 8}},   {"blk.0.attn_k.weight", {8, 4}},
      {"blk.0.attn_v.weight", {8, 4}},   {"blk.0.attn_output.weight", {8, 8}},
      {"blk.0.ffn_gate.weight", {8, 6}}, {"blk.0.ffn_up.weight", {8, 6}},
      {"blk.0.ffn_down.weight", {6, 8}}};

  Tensor& Find(const std::string& name) {
    for (Tensor& tensor : tensors) {
      if (tensor.name == name) return tensor;
    }
    return tensors.emplace_back(Tensor{name, {8}});
  }

  void AddBias() {
    tensors.insert(
        tensors.end(),
        {{"blk.0.attn_q.bias", {8}}, {"blk.0.attn_k.bias", {4}}, {"blk.0.attn_v.bias", {4}}});
  }
  void AddHeadNorms() {
    tensors.insert(tensors.end(),
                   {{"blk.0.attn_q_norm.weight", {4}}, {"blk.0.attn_k_norm.weight", {4}}});
  }

  Status Write(const std::string& path) const {
    GgufWriter writer;
    writer.AddString("general.type", type);
    writer.AddString("general.architecture", architecture);
    writer.AddUint32(architecture + ".block_count", layers);
    writer.AddUint32(architecture + ".context_length", context);
    writer.AddUint32(architecture + ".embedding_length", 8);
    writer.AddUint32(architecture + ".feed_forward_length", 6);
    writer.AddUint32(architecture + ".attention.head_count", query_heads);
    writer.AddUint32(architecture + ".attention.head_count_kv", kv_heads);
    writer.AddUint32(architecture + ".rope.dimension_count", rotary);
    if (!scaling.empty()) writer.AddString(architecture + ".rope.scaling.type", scaling);
    if (!factor.first.empty()) writer.AddFloat32(architecture + "." + factor.first, factor.second);
    for (const Tensor& tensor : tensors) {
      uint64_t count = 1;
      for (const uint64_t dim : tensor.dims) count *= dim;
      std::vector<float> numbers(count, 0.5f);
      if (tensor.name == poisoned) numbers.back() = poison;
      writer.AddTensor(tensor.name, GgmlType::kF32, tensor.dims, numbers);
    }
    return writer.Write(path);
  }
};

class LlamaRefusalsTest : public testing::Test {
 protected:
  void Load(const std::function<void(Description&)>& change, std::optional<Errc> code,
            const std::string& fragment) {
    Description description;
    change(description);
    const std::string path = directory_.File("model.gguf");
    ASSERT_TRUE(description.Write(path).has_value());
    const auto file = GgufFile::Open(path);
    ASSERT_TRUE(file.has_value()) << file.error().message;
    const auto model = Llama::Load(file.value(), AdapterSet(), LinearKind::kReference);
    ASSERT_EQ(model.has_value(), !code.has_value())
        << (model.has_value() ? "loaded despite " + fragment : model.error().message);
    if (model.has_value()) return;
    EXPECT_EQ(model.error().code, *code) << model.error().message;
    EXPECT_NE(model.error().message.find(fragment), std::string::npos) << model.error().message;
    EXPECT_NE(model.error().message.find(path), std::string::npos) << "does not name the file";
  }

  test::ScratchDirectory directory_;
};

TEST_F(LlamaRefusalsTest, TheModelItselfIsGood) {
  Load([](Description&) {}, std::nullopt, "nothing");
  Load([](Description& d) { d.scaling = "none"; }, std::nullopt, "no scaling");
  Load([](Description& d) { d.Find("output.weight").dims = {8, 5}; }, std::nullopt, "an output");
  Load([](Description& d) { d.Find("rope_freqs.weight").dims = {2}; }, std::nullopt, "factors");
}

TEST_F(LlamaRefusalsTest, EachArchitectureHasItsTensors) {
  const auto of = [](const char* name, bool bias, bool head_norms) {
    return [=](Description& d) {
      d.architecture = name;
      if (bias) d.AddBias();
      if (head_norms) d.AddHeadNorms();
    };
  };
  Load(of("qwen2", true, false), std::nullopt, "qwen2");
  Load(of("qwen2", false, false), Errc::kCorruption, "'blk.0.attn_q.bias' is missing");
  Load(of("qwen2", true, true), Errc::kUnsupported, "'blk.0.attn_q_norm.weight'");
  Load(of("qwen3", false, true), std::nullopt, "qwen3");
  Load(of("qwen3", false, false), Errc::kCorruption, "'blk.0.attn_q_norm.weight' is missing");
  Load(of("qwen3", true, true), Errc::kUnsupported, "'blk.0.attn_q.bias'");
  Load(of("llama", true, false), Errc::kUnsupported, "'blk.0.attn_q.bias'");
  Load(
      [&](Description& d) {
        of("qwen2", true, false)(d);
        d.Find("blk.0.attn_v.bias").dims = {8};
      },
      Errc::kCorruption, "'blk.0.attn_v.bias' is 1 x 8, not 1 x 4");
}

TEST_F(LlamaRefusalsTest, KindsOfModelsByName) {
  Load([](Description& d) { d.architecture = "mamba"; }, Errc::kUnsupported,
       "'mamba' is not supported; cairn runs 'llama', 'qwen2', 'qwen3'");
  Load([](Description& d) { d.scaling = "yarn"; }, Errc::kUnsupported, "'yarn'");
  Load([](Description& d) { d.type = "adapter"; }, Errc::kInvalidArgument, "--adapter");
  Load([](Description& d) { d.rotary = 2; }, Errc::kUnsupported, "rotary dimension 2");
}

TEST_F(LlamaRefusalsTest, UnknownTensorsByName) {
  for (const char* name : {"blk.0.attn_q.bias", "blk.0.ffn_gate_inp.weight", "position_embd.weight",
                           "blk.0", "output.bias"}) {
    Load([&](Description& d) { d.Find(name); }, Errc::kUnsupported, std::string("'") + name + "'");
  }
}

TEST_F(LlamaRefusalsTest, LayersThatTheFileDoesNotCount) {
  for (const char* layer : {"1", "00", "-1", "", "0x", "4294967296"}) {
    const std::string name = std::string("blk.") + layer + ".attn_norm.weight";
    Load([&](Description& d) { d.Find(name); }, Errc::kUnsupported, "'" + name + "'");
  }
}

TEST_F(LlamaRefusalsTest, ScalingThatIsNotNamed) {
  for (const char* key : {"rope.scaling.factor", "rope.scale_linear"}) {
    Load([&](Description& d) { d.factor = {key, 4.0f}; }, Errc::kUnsupported, "'linear'");
    for (const float none : {0.0f, 1.0f}) {
      Load([&](Description& d) { d.factor = {key, none}; }, std::nullopt, key);
    }
  }
}

TEST_F(LlamaRefusalsTest, NumbersThatAreNone) {
  const Description description;
  for (const Tensor& tensor : description.tensors) {
    for (const float poison : {NAN, -NAN, INFINITY, -INFINITY}) {
      Load([&](Description& d) { d.poisoned = tensor.name, d.poison = poison; }, Errc::kCorruption,
           "'" + tensor.name + "' has numbers");
    }
    Load([&](Description& d) { d.poisoned = tensor.name, d.poison = -3e38f; }, std::nullopt,
         tensor.name);
  }
}

// What is read row by row is looked at then.
TEST_F(LlamaRefusalsTest, AnEmbeddingThatIsNone) {
  Description description;
  description.Find("output.weight").dims = {8, 5};
  description.poisoned = "token_embd.weight";
  description.poison = NAN;
  ASSERT_TRUE(description.Write(directory_.File("m")).has_value());
  const test::LoadedLlama model(directory_.File("m"), "", LinearKind::kF32);
  DenseAttention attention(model.Shape(8, DType::kF32));
  const int32_t sound = 0, poisoned = 4;
  ASSERT_TRUE(model.llama->Forward({&sound, 1}, attention).has_value());
  const auto failed = model.llama->Forward({&poisoned, 1}, attention);
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, Errc::kCorruption);
  EXPECT_NE(failed.error().message.find("token 4"), std::string::npos) << failed.error().message;
}

TEST_F(LlamaRefusalsTest, MissingTensorsByName) {
  const Description description;
  for (const Tensor& tensor : description.tensors) {
    Load(
        [&](Description& d) {
          std::erase_if(d.tensors, [&](const Tensor& t) { return t.name == tensor.name; });
        },
        Errc::kCorruption, "'" + tensor.name + "'");
  }
  Load([](Description& d) { d.layers = 2; }, Errc::kCorruption, "'blk.1.");
}

TEST_F(LlamaRefusalsTest, WrongShapesByName) {
  const Description description;
  for (const Tensor& tensor : description.tensors) {
    if (tensor.name != "token_embd.weight") {  // any number of rows is a vocabulary
      Load([&](Description& d) { d.Find(tensor.name).dims.back() += 1; }, Errc::kCorruption,
           "'" + tensor.name + "'");
    }
    Load([&](Description& d) { d.Find(tensor.name).dims.front() += 2; }, Errc::kCorruption,
         "'" + tensor.name + "'");
  }
  Load(
      [](Description& d) {
        d.Find("output.weight").dims = {8, 4};
      },
      Errc::kCorruption, "'output.weight' is 4 x 8, not 5 x 8");
  Load([](Description& d) { d.Find("rope_freqs.weight").dims = {3}; }, Errc::kCorruption,
       "rope_freqs has 3");
}

TEST_F(LlamaRefusalsTest, ImpossibleNumbersByName) {
  Load([](Description& d) { d.layers = 0; }, Errc::kCorruption, "llama.block_count is 0");
  Load([](Description& d) { d.context = 0; }, Errc::kCorruption, "llama.context_length is 0");
  Load([](Description& d) { d.query_heads = 0; }, Errc::kCorruption, "head_count is 0");
  Load([](Description& d) { d.kv_heads = 3; }, Errc::kCorruption, "3 KV heads");
}

TEST_F(LlamaRefusalsTest, AdaptersOfOtherModels) {
  test::TinyModelOptions small, large;
  large.ffn = 128;
  const test::TinyAdapterOptions adapter_options;
  ASSERT_TRUE(test::WriteTinyModel(directory_.File("m"), small).has_value());
  ASSERT_TRUE(test::WriteTinyAdapter(directory_.File("a"), large, adapter_options).has_value());
  const auto file = GgufFile::Open(directory_.File("m"));
  ASSERT_TRUE(file.has_value());
  std::vector<Adapter> adapters;
  auto adapter = Adapter::Open(directory_.File("a"));
  ASSERT_TRUE(adapter.has_value());
  adapters.push_back(std::move(adapter).value());
  const auto set = AdapterSet::Make(std::move(adapters));
  ASSERT_TRUE(set.has_value());
  const auto model = Llama::Load(file.value(), set.value(), LinearKind::kF32);
  ASSERT_FALSE(model.has_value());
  EXPECT_EQ(model.error().code, Errc::kMismatch);
  EXPECT_NE(model.error().message.find("blk.0.ffn_gate.weight"), std::string::npos)
      << model.error().message;
}

}  // namespace
}  // namespace cairn
