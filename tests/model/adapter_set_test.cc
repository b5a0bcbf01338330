// AdapterSet: what several adapters add up to, what is refused, and models that load with them.
#include "model/adapter_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "model/dense_attention.h"
#include "model/runner.h"
#include "tests/support/loaded_llama.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/tiny_model.h"

namespace cairn {
namespace {

using test::LoadedLlama;
using test::ScaledAdapter;

constexpr int64_t kWidth = 64;  // of the tiny model

class AdapterSetTest : public testing::Test {
 protected:
  AdapterSetTest() {
    EXPECT_TRUE(test::WriteTinyModel(File("m"), {}));
    Write("l", {.seed = 7});
    Write("l2", {.seed = 8});
    Write("a", {.seed = 9, .landmark = false});
    Write("b", {.rank = 3, .seed = 10, .landmark = false});
    Write("e", {.seed = 11, .landmark = false, .token_embedding = true});
  }
  std::string File(const std::string& name) const { return directory_.File(name); }
  void Write(const std::string& name, const test::TinyAdapterOptions& options) const {
    EXPECT_TRUE(test::WriteTinyAdapter(File(name), {}, options));
  }
  Result<AdapterSet> Make(const std::vector<ScaledAdapter>& scaled) const {
    std::vector<Adapter> adapters;
    for (const auto& [name, scale] : scaled) {
      auto adapter = Adapter::Open(File(name), scale);
      EXPECT_TRUE(adapter) << adapter.error().message;
      adapters.push_back(std::move(adapter).value());
    }
    return AdapterSet::Make(std::move(adapters));
  }
  LoadedLlama Load(std::vector<ScaledAdapter> scaled, const std::string& model = "m") const {
    for (ScaledAdapter& adapter : scaled) adapter.path = File(adapter.path);
    return LoadedLlama(File(model), scaled, LinearKind::kF32);
  }
  /// Logits after a few tokens with dense attention.
  static std::vector<float> Logits(LoadedLlama& model) {
    DenseAttention attention(model.Shape(8, DType::kF32));
    Runner runner(*model.llama, attention, model.landmark(), 64);
    std::vector<float> logits;
    EXPECT_TRUE(runner.Feed(std::vector<uint32_t>{5, 100, 7, 250, 44}, &logits));
    return logits;
  }

  test::ScratchDirectory directory_;
};

TEST_F(AdapterSetTest, AddsTheSumInAnyOrder) {
  const std::string name = "blk.1.attn_q.weight";
  const auto part = [&](const std::vector<ScaledAdapter>& scaled, float start) {
    const auto set = Make(scaled);
    EXPECT_TRUE(set) << set.error().message;
    EXPECT_TRUE(set.value().Has(name));
    EXPECT_FALSE(set.value().Has("output.weight"));
    std::vector<float> weights(kWidth * kWidth, start);
    EXPECT_TRUE(set.value().AddTo(name, weights.data(), kWidth, kWidth));
    return weights;
  };
  const std::vector<float> l = part({{"l", 0.5}}, 0), a = part({{"a", -2.0}}, 0),
                           b = part({{"b"}}, 0);
  const std::vector<float> all = part({{"l", 0.5}, {"a", -2.0}, {"b"}}, 1.0f);
  for (size_t i = 0; i < all.size(); ++i) ASSERT_NEAR(all[i], 1.0f + l[i] + a[i] + b[i], 1e-5);
  EXPECT_EQ(part({{"b"}, {"l", 0.5}, {"a", -2.0}}, 1.0f), all);
  EXPECT_EQ(part({{"a", -2.0}, {"b"}, {"l", 0.5}}, 1.0f), all);
}

TEST_F(AdapterSetTest, NoAdaptersChangeNothing) {
  const AdapterSet none;
  EXPECT_TRUE(none.adapters().empty());
  EXPECT_EQ(none.landmark(), nullptr);
  float weight = 3;
  EXPECT_TRUE(none.AddTo("w", &weight, 1, 1));
  EXPECT_EQ(weight, 3);
}

TEST_F(AdapterSetTest, LandmarksComeFromTheOneThatHasThem) {
  const auto plain = Make({{"a"}, {"b"}});
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain.value().landmark(), nullptr);
  const auto mixed = Make({{"a"}, {"l"}});
  ASSERT_TRUE(mixed);
  ASSERT_NE(mixed.value().landmark(), nullptr);
  EXPECT_EQ(mixed.value().landmark()->regular_tokens, 15);
  EXPECT_EQ(mixed.value().adapters()[0].path(), File("a"));
  EXPECT_EQ(mixed.value().adapters()[1].path(), File("l"));
}

TEST_F(AdapterSetTest, RefusalsNameBoth) {
  const auto refused = [&](const std::string& a, const std::string& b, const std::string& part) {
    const auto set = Make({{a}, {b, 0.5}});
    ASSERT_FALSE(set) << a << b;
    EXPECT_EQ(set.error().code, Errc::kInvalidArgument);
    for (const std::string& expected : {File(a), File(b), part}) {
      EXPECT_NE(set.error().message.find(expected), std::string::npos) << set.error().message;
    }
  };
  refused("l", "l2", "both carry landmarks");
  refused("a", "a", "same adapter");
  Write("copy", {.seed = 9, .landmark = false});
  refused("a", "copy", "same adapter");
}

TEST_F(AdapterSetTest, EveryAdapterMustFitTheModel) {
  test::TinyModelOptions wide;
  wide.ffn = 128;
  EXPECT_TRUE(test::WriteTinyAdapter(File("wide"), wide, {.landmark = false}));
  const auto set = Make({{"a"}, {"wide"}});
  ASSERT_TRUE(set);
  const auto model = GgufFile::Open(File("m"));
  ASSERT_TRUE(model);
  const Status status = set.value().CheckTargets(model.value());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kMismatch);
  EXPECT_NE(status.error().message.find(File("wide")), std::string::npos);
}

TEST_F(AdapterSetTest, ModelsLoadWithAllOfThem) {
  LoadedLlama one = Load({{"a"}}), both = Load({{"a"}, {"b", 0.5}}),
              turned = Load({{"b", 0.5}, {"a"}}), silent = Load({{"a"}, {"b", 0.0}});
  const std::vector<float> of_one = Logits(one), of_both = Logits(both);
  double apart = 0;
  for (size_t i = 0; i < of_one.size(); ++i) {
    apart = std::max<double>(apart, std::abs(of_one[i] - of_both[i]));
  }
  EXPECT_GT(apart, 0.01);
  EXPECT_EQ(Logits(turned), of_both);
  EXPECT_EQ(Logits(silent), of_one);
  LoadedLlama landmark = Load({{"a"}, {"l"}});
  EXPECT_EQ(landmark.landmark()->regular_tokens, 15);
}

// Where the output is tied, its rows change with the embedding's.
TEST_F(AdapterSetTest, TheTokenEmbeddingMayBeAdapted) {
  test::TinyModelOptions untied;
  untied.tied = false;
  EXPECT_TRUE(test::WriteTinyModel(File("untied"), untied));
  for (const std::string name : {"m", "untied"}) {
    SCOPED_TRACE(name);
    LoadedLlama model = Load({{"e", 3.0}}, name);
    auto embedding = model.file->ReadFloats("token_embd.weight");
    ASSERT_TRUE(embedding);
    std::vector<float> rows = embedding.value();
    const int64_t vocab = model.llama->config().vocab;
    ASSERT_TRUE(model.adapters.AddTo("token_embd.weight", rows.data(), vocab, kWidth));
    ASSERT_NE(rows, embedding.value());
    if (name == "untied") rows = model.file->ReadFloats("output.weight").value();
    std::vector<float> hidden(kWidth), logits(static_cast<size_t>(vocab));
    for (int64_t i = 0; i < kWidth; ++i) hidden[i] = std::sin(static_cast<float>(i));
    EXPECT_TRUE(model.llama->Logits(hidden.data(), 1, logits.data()).has_value());
    for (int64_t id = 0; id < vocab; ++id) {
      double sum = 0;
      for (int64_t i = 0; i < kWidth; ++i) sum += double{hidden[i]} * rows[id * kWidth + i];
      ASSERT_NEAR(logits[id], sum, 1e-4) << id;
    }
  }
}

// The embedding that is read row by row and the merged one are the same numbers.
TEST_F(AdapterSetTest, AMergedEmbeddingOfScaleZeroIsTheModels) {
  test::TinyModelOptions untied;
  untied.tied = false;
  EXPECT_TRUE(test::WriteTinyModel(File("untied"), untied));
  for (const std::string name : {"m", "untied"}) {
    SCOPED_TRACE(name);
    LoadedLlama plain = Load({}, name), silent = Load({{"e", 0.0}}, name),
                loud = Load({{"e"}}, name);
    const std::vector<float> expected = Logits(plain);
    EXPECT_EQ(Logits(silent), expected);
    EXPECT_NE(Logits(loud), expected);
  }
}

}  // namespace
}  // namespace cairn
