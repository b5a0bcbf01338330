// Adapter: what AddTo adds, what is refused, what it says about landmarks.
#include "model/adapter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "base/dtype.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/tiny_model.h"

namespace cairn {
namespace {

using test::GgufWriter;
using test::ScratchDirectory;

std::vector<float> RandomFloats(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = HalfToFloat(FloatToHalf(normal(random)));
  return values;
}

GgufWriter AdapterHeader(float alpha = 8.0f) {
  GgufWriter writer;
  writer.AddString("general.type", "adapter");
  writer.AddString("adapter.type", "lora");
  writer.AddFloat32("adapter.lora.alpha", alpha);
  return writer;
}

Adapter OpenOrDie(const std::string& path, float scale = 1.0f) {
  Result<Adapter> adapter = Adapter::Open(path, scale);
  EXPECT_TRUE(adapter) << adapter.error().message;
  return std::move(adapter).value();
}

struct Sizes {
  size_t n_out;
  size_t n_in;
  size_t rank;
  GgmlType type;
  double bound;  ///< of the error that rounding the factors to `type` may cause
};

void CheckAddTo(const Sizes& sizes, float alpha, float user_scale) {
  const auto [n_out, n_in, rank, type, bound] = sizes;
  SCOPED_TRACE(fmt::format("{} x {}, rank {}, {}", n_out, n_in, rank, GgmlTypeName(type)));
  const ScratchDirectory scratch;
  const std::vector<float> a = RandomFloats(rank * n_in, 1);
  const std::vector<float> b = RandomFloats(n_out * rank, 2);
  GgufWriter writer = AdapterHeader(alpha);
  writer.AddTensor("w.lora_a", type, {n_in, rank}, a);
  writer.AddTensor("w.lora_b", type == GgmlType::kQ8_0 ? GgmlType::kF16 : type, {rank, n_out}, b);
  ASSERT_TRUE(writer.Write(scratch.File("a.gguf")));
  const Adapter adapter = OpenOrDie(scratch.File("a.gguf"), user_scale);
  EXPECT_TRUE(adapter.Has("w"));
  EXPECT_EQ(adapter.targets(), std::vector<std::string>{"w"});

  const std::vector<float> before = RandomFloats(n_out * n_in, 3);
  std::vector<float> weights = before;
  const Status status =
      adapter.AddTo("w", weights.data(), static_cast<int64_t>(n_out), static_cast<int64_t>(n_in));
  ASSERT_TRUE(status) << status.error().message;
  const double scale = alpha == 0 ? user_scale : user_scale * alpha / static_cast<double>(rank);
  for (size_t o = 0; o < n_out; ++o) {
    for (size_t i = 0; i < n_in; ++i) {
      double sum = 0;
      for (size_t r = 0; r < rank; ++r) sum += double{b[o * rank + r]} * double{a[r * n_in + i]};
      const double expected = before[o * n_in + i] + scale * sum;
      ASSERT_NEAR(weights[o * n_in + i], expected, bound) << o << ", " << i;
    }
  }
}

TEST(AdapterTest, AddsScaledProduct) {
  for (const Sizes& sizes :
       {Sizes{33, 64, 4, GgmlType::kF32, 1e-4}, Sizes{64, 32, 16, GgmlType::kF16, 1e-4},
        Sizes{17, 96, 7, GgmlType::kBF16, 2.0}, Sizes{20, 64, 8, GgmlType::kQ8_0, 1.0},
        Sizes{1, 32, 1, GgmlType::kF32, 1e-4}}) {
    CheckAddTo(sizes, 8.0f, 1.0f);
  }
  CheckAddTo({16, 32, 4, GgmlType::kF32, 1e-4}, 8.0f, 0.25f);
  CheckAddTo({16, 32, 4, GgmlType::kF32, 1e-4}, 8.0f, 0.0f);
  CheckAddTo({16, 32, 4, GgmlType::kF32, 1e-4}, 0.0f, 0.5f);  // no alpha: user_scale alone
}

TEST(AdapterTest, TokenEmbeddingFactorsAreTransposed) {
  const ScratchDirectory scratch;
  const size_t vocabulary = 40;
  const size_t width = 24;
  const size_t rank = 3;
  const std::vector<float> a = RandomFloats(vocabulary * rank, 1);
  const std::vector<float> b = RandomFloats(width * rank, 2);
  GgufWriter writer = AdapterHeader(3.0f);
  writer.AddTensor("token_embd.weight.lora_a", GgmlType::kF32, {rank, vocabulary}, a);
  writer.AddTensor("token_embd.weight.lora_b", GgmlType::kF32, {rank, width}, b);
  ASSERT_TRUE(writer.Write(scratch.File("a.gguf")));
  const Adapter adapter = OpenOrDie(scratch.File("a.gguf"));
  std::vector<float> weights(vocabulary * width);
  ASSERT_TRUE(adapter.AddTo("token_embd.weight", weights.data(), vocabulary, width));
  for (size_t v = 0; v < vocabulary; ++v) {
    for (size_t e = 0; e < width; ++e) {
      double expected = 0;
      for (size_t r = 0; r < rank; ++r) expected += double{a[v * rank + r]} * b[e * rank + r];
      ASSERT_NEAR(weights[v * width + e], expected, 1e-4);
    }
  }
}

TEST(AdapterTest, LeavesOtherTensorsAndOtherShapesAlone) {
  const ScratchDirectory scratch;
  GgufWriter writer = AdapterHeader();
  writer.AddTensor("w.lora_a", GgmlType::kF32, {8, 2}, std::vector<float>(16, 1.0f));
  writer.AddTensor("w.lora_b", GgmlType::kF32, {2, 4}, std::vector<float>(8, 1.0f));
  ASSERT_TRUE(writer.Write(scratch.File("a.gguf")));
  const Adapter adapter = OpenOrDie(scratch.File("a.gguf"));
  std::vector<float> weights(32, 5.0f);
  EXPECT_TRUE(adapter.AddTo("v", weights.data(), 4, 8));
  EXPECT_FALSE(adapter.Has("v"));
  const Status status = adapter.AddTo("w", weights.data(), 8, 4);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kMismatch);
  EXPECT_NE(status.error().message.find("'w'"), std::string::npos);
  EXPECT_EQ(weights, std::vector<float>(32, 5.0f));
}

TEST(AdapterTest, TinyAdapterFitsItsModelAndNoOther) {
  const ScratchDirectory scratch;
  const std::string base = scratch.File("model.gguf");
  test::TinyModelOptions model;
  ASSERT_TRUE(test::WriteTinyModel(base, model));
  ASSERT_TRUE(test::WriteTinyAdapter(scratch.File("a.gguf"), model, {}));
  const Adapter adapter = OpenOrDie(scratch.File("a.gguf"));
  EXPECT_EQ(adapter.targets().size(), 14u);
  const Result<GgufFile> file = GgufFile::Open(base);
  ASSERT_TRUE(file);
  const Status fits = adapter.CheckTargets(file.value());
  EXPECT_TRUE(fits) << fits.error().message;

  ASSERT_TRUE(adapter.landmark().has_value());
  EXPECT_EQ(adapter.landmark()->regular_tokens, 15);
  EXPECT_FALSE(adapter.landmark()->in_loss);
  EXPECT_EQ(adapter.landmark()->selection, "per_chunk");
  EXPECT_EQ(adapter.landmark()->trained_context, 256);
  EXPECT_EQ(adapter.landmark()->embedding.size(), 64u);

  const auto expect_mismatch = [&](const test::TinyModelOptions& other, const std::string& part) {
    EXPECT_TRUE(test::WriteTinyModel(scratch.File("other.gguf"), other));
    const Result<GgufFile> opened = GgufFile::Open(scratch.File("other.gguf"));
    ASSERT_TRUE(opened);
    const Status status = adapter.CheckTargets(opened.value());
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::kMismatch);
    EXPECT_NE(status.error().message.find(part), std::string::npos) << status.error().message;
  };
  test::TinyModelOptions fewer = model;
  fewer.layers = 1;
  expect_mismatch(fewer, "'blk.1.attn_q.weight'");
  test::TinyModelOptions wider = model;
  wider.ffn = 128;
  expect_mismatch(wider, "'blk.0.ffn_gate.weight'");
}

TEST(AdapterTest, WithoutLandmarks) {
  const ScratchDirectory scratch;
  test::TinyAdapterOptions options;
  options.landmark = false;
  ASSERT_TRUE(test::WriteTinyAdapter(scratch.File("a.gguf"), {}, options));
  EXPECT_FALSE(OpenOrDie(scratch.File("a.gguf")).landmark().has_value());
}

TEST(AdapterTest, FingerprintSeesFileAndScale) {
  const ScratchDirectory scratch;
  test::TinyAdapterOptions options;
  ASSERT_TRUE(test::WriteTinyAdapter(scratch.File("a.gguf"), {}, options));
  options.seed = 8;
  ASSERT_TRUE(test::WriteTinyAdapter(scratch.File("b.gguf"), {}, options));
  const std::string first = OpenOrDie(scratch.File("a.gguf")).Fingerprint();
  EXPECT_EQ(first.size(), 32u);
  EXPECT_EQ(OpenOrDie(scratch.File("a.gguf"), 1.0f).Fingerprint(), first);
  EXPECT_NE(OpenOrDie(scratch.File("a.gguf"), 0.5f).Fingerprint(), first);
  EXPECT_NE(OpenOrDie(scratch.File("b.gguf")).Fingerprint(), first);
}

void ExpectRefusal(const GgufWriter& writer, Errc code, const std::string& part) {
  const ScratchDirectory scratch;
  ASSERT_TRUE(writer.Write(scratch.File("bad.gguf")));
  const Result<Adapter> adapter = Adapter::Open(scratch.File("bad.gguf"));
  ASSERT_FALSE(adapter) << part;
  EXPECT_EQ(adapter.error().code, code) << adapter.error().message;
  EXPECT_NE(adapter.error().message.find(part), std::string::npos) << adapter.error().message;
}

TEST(AdapterTest, RefusesWhatIsNoAdapter) {
  GgufWriter model;
  model.AddString("general.type", "model");
  ExpectRefusal(model, Errc::kInvalidArgument, "not a LoRA adapter");
  GgufWriter other;
  other.AddString("general.type", "adapter");
  other.AddString("adapter.type", "ia3");
  ExpectRefusal(other, Errc::kInvalidArgument, "'ia3'");
  ExpectRefusal(AdapterHeader(std::numeric_limits<float>::infinity()), Errc::kCorruption, "alpha");

  const std::vector<float> eight(8, 1.0f);
  GgufWriter alone = AdapterHeader();
  alone.AddTensor("w.lora_a", GgmlType::kF32, {4, 2}, eight);
  ExpectRefusal(alone, Errc::kCorruption, "'w'");
  GgufWriter ranks = AdapterHeader();
  ranks.AddTensor("w.lora_a", GgmlType::kF32, {4, 2}, eight);
  ranks.AddTensor("w.lora_b", GgmlType::kF32, {4, 2}, eight);
  ExpectRefusal(ranks, Errc::kCorruption, "ranks 2 and 4");
  GgufWriter extra = AdapterHeader();
  extra.AddTensor("w.bias", GgmlType::kF32, {8}, eight);
  ExpectRefusal(extra, Errc::kUnsupported, "'w.bias'");
  GgufWriter landmark = AdapterHeader();
  landmark.AddUint32("cairn.landmark.regular_tokens", 63);
  landmark.AddBool("cairn.landmark.in_loss", false);
  landmark.AddUint32("cairn.landmark.trained_context", 2048);
  landmark.AddString("cairn.landmark.selection", "per_chunk");
  ExpectRefusal(landmark, Errc::kNotFound, "cairn.landmark.embedding");
}

TEST(AdapterTest, RefusesBlocksAndContextsThatNobodyCanHave) {
  for (const auto& [regular, context] :
       {std::pair{0u, 2048u}, std::pair{4096u, 2048u}, std::pair{0x7fffffffu, 2048u},
        std::pair{63u, 0u}, std::pair{63u, 0x7fffffffu}}) {
    GgufWriter landmark = AdapterHeader();
    landmark.AddUint32("cairn.landmark.regular_tokens", regular);
    landmark.AddBool("cairn.landmark.in_loss", false);
    landmark.AddUint32("cairn.landmark.trained_context", context);
    landmark.AddString("cairn.landmark.selection", "per_chunk");
    landmark.AddTensor("cairn.landmark.embedding", GgmlType::kF32, {4}, std::vector<float>(4));
    ExpectRefusal(landmark, Errc::kCorruption, std::to_string(regular) + " regular tokens");
  }
}

TEST(AdapterTest, RefusesAScaleThatIsNoNumber) {
  const Result<Adapter> adapter = Adapter::Open("x", std::numeric_limits<float>::quiet_NaN());
  ASSERT_FALSE(adapter);
  EXPECT_EQ(adapter.error().code, Errc::kInvalidArgument);
}

}  // namespace
}  // namespace cairn
