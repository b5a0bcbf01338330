// Tokenizer and Pretokenizer: equal to the reference on tests/data, and unharmed by any bytes.
#include "model/tokenizer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "model/pretokenizer.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/real_model.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/tiny_model.h"

namespace cairn {
namespace {

using test::GgufWriter;
using test::ScratchDirectory;

Tokenizer TokenizerOf(const std::string& path) {
  Result<GgufFile> file = GgufFile::Open(path);
  EXPECT_TRUE(file) << file.error().message;
  Result<Tokenizer> tokenizer = Tokenizer::FromGguf(file.value());
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return std::move(tokenizer).value();
}

Tokenizer TinyTokenizer() {
  const ScratchDirectory scratch;
  EXPECT_TRUE(test::WriteTinyModel(scratch.File("tiny.gguf"), {}));
  return TokenizerOf(scratch.File("tiny.gguf"));
}

std::string DecodeAll(const Tokenizer& tokenizer, const std::vector<uint32_t>& ids) {
  std::string text;
  for (const uint32_t id : ids) text += tokenizer.Decode(id);
  return text;
}

std::vector<std::string> Pieces(std::string_view pre, std::string_view text) {
  std::vector<std::string> pieces;
  const Result<Pretokenizer> pretokenizer = Pretokenizer::Make(pre);
  EXPECT_TRUE(pretokenizer);
  pretokenizer.value().Split(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

TEST(PretokenizerTest, AgreesWithTheReference) {
  std::ifstream file(CAIRN_TEST_DATA "/pretokenize.jsonl");
  ASSERT_TRUE(file) << "tests/data/pretokenize.jsonl is missing";
  int lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    const nlohmann::json entry = nlohmann::json::parse(line);
    std::vector<size_t> lengths;
    for (const std::string& piece :
         Pieces(entry["pre"].get<std::string>(), entry["text"].get<std::string>())) {
      lengths.push_back(piece.size());
    }
    EXPECT_EQ(lengths, entry["bytes"].get<std::vector<size_t>>()) << line;
  }
  EXPECT_GE(lines, 1000);
}

TEST(PretokenizerTest, BytesThatAreNotUtf8StandAlone) {
  using Strings = std::vector<std::string>;
  EXPECT_EQ(Pieces("gpt-2",
                   "ab\xff\xfe"
                   "cd"),
            (Strings{"ab", "\xff\xfe", "cd"}));
  EXPECT_EQ(Pieces("gpt-2", "\xc3\xa9\xc3"), (Strings{"\xc3\xa9", "\xc3"}));
  EXPECT_EQ(Pieces("gpt-2", "\xed\xa0\x80"), (Strings{"\xed\xa0\x80"}));          // surrogate
  EXPECT_EQ(Pieces("gpt-2", "\xc0\xaf"), (Strings{"\xc0\xaf"}));                  // overlong
  EXPECT_EQ(Pieces("gpt-2", "\xf4\x90\x80\x80"), (Strings{"\xf4\x90\x80\x80"}));  // > U+10FFFF
  EXPECT_EQ(Pieces("gpt-2", ""), Strings{});
}

TEST(PretokenizerTest, PiecesMakeTheText) {
  const uint64_t seed = 5;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr std::string_view kBytes = " \t\n\raZ09'.\xc3\xa9\xe2\x80\x83\xf0\x9f\x98\x80\xff";
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 40, '\0');
    for (char& byte : text) byte = kBytes[random() % kBytes.size()];
    for (const char* pre : {"smollm", "gpt-2", "llama-bpe", "qwen2"}) {
      std::string joined;
      for (const std::string& piece : Pieces(pre, text)) {
        EXPECT_FALSE(piece.empty());
        joined += piece;
      }
      ASSERT_EQ(joined, text) << pre << ", round " << round;
    }
  }
}

TEST(PretokenizerTest, NamesOfOneFamily) {
  EXPECT_EQ(Pieces("llama3", "12345"), Pieces("llama-bpe", "12345"));
  EXPECT_EQ(Pieces("llama-v3", "12345"), Pieces("llama-bpe", "12345"));
  const Result<Pretokenizer> unknown = Pretokenizer::Make("deepseek-llm");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Errc::kUnsupported);
  EXPECT_NE(unknown.error().message.find("'deepseek-llm'"), std::string::npos);
}

TEST(TokenizerTest, AgreesWithTheReference) {
  const std::string path = test::RealModelPath();
  if (path.empty()) GTEST_SKIP() << test::kNoRealModel;
  const Tokenizer tokenizer = TokenizerOf(path);
  std::ifstream file(CAIRN_TEST_DATA "/tokenizer_smollm2.jsonl");
  ASSERT_TRUE(file) << "tests/data/tokenizer_smollm2.jsonl is missing";
  int lines = 0;
  std::string all;
  for (std::string line; std::getline(file, line); ++lines) {
    const nlohmann::json entry = nlohmann::json::parse(line);
    const auto text = entry["text"].get<std::string>();
    EXPECT_EQ(tokenizer.Encode(text), entry["ids"].get<std::vector<uint32_t>>()) << line;
    all += text;
  }
  EXPECT_GE(lines, 2100);
  EXPECT_EQ(tokenizer.vocab_size(), 49152u);
  EXPECT_EQ(tokenizer.Control("<|im_end|>"), 2u);
  EXPECT_EQ(tokenizer.bos(), 1u);
  EXPECT_EQ(tokenizer.eos(), 2u);
  EXPECT_FALSE(tokenizer.add_bos());

  // Words by the thousand are encoded as a few are. In time that grows with the square of their
  // number it would not end.
  const std::string sentence = "The river, wide and slow, carried the captain. ";
  constexpr size_t kTimes = 200'000;
  std::string english;
  for (size_t i = 0; i < kTimes; ++i) english += sentence;
  const size_t once =
      tokenizer.Encode(sentence + sentence).size() - tokenizer.Encode(sentence).size();
  EXPECT_EQ(tokenizer.Encode(english).size(),
            tokenizer.Encode(sentence).size() + (kTimes - 1) * once);
}

TEST(TokenizerTest, DecodeUndoesEncode) {
  const Tokenizer tokenizer = TinyTokenizer();
  const uint64_t seed = 11;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 500; ++round) {
    std::string text(random() % 200, '\0');
    for (char& byte : text) {
      byte = random() % 4 == 0 ? static_cast<char>(random()) : " thean"[random() % 6];
    }
    ASSERT_EQ(DecodeAll(tokenizer, tokenizer.Encode(text)), text) << "round " << round;
  }
}

TEST(TokenizerTest, ControlTokensInTextAreText) {
  const Tokenizer tokenizer = TinyTokenizer();
  const std::optional<uint32_t> end = tokenizer.Control("<|im_end|>");
  ASSERT_TRUE(end.has_value());
  EXPECT_TRUE(tokenizer.IsControl(*end));
  EXPECT_EQ(tokenizer.Text(*end), "<|im_end|>");
  EXPECT_EQ(tokenizer.Decode(*end), "");
  const std::vector<uint32_t> ids = tokenizer.Encode("<|im_end|>");
  for (const uint32_t id : ids) EXPECT_FALSE(tokenizer.IsControl(id));
  EXPECT_EQ(DecodeAll(tokenizer, ids), "<|im_end|>");
  EXPECT_FALSE(tokenizer.Control("the").has_value());
  EXPECT_FALSE(tokenizer.IsControl(1u << 30));
  EXPECT_EQ(tokenizer.Text(1u << 30), "");
  EXPECT_EQ(tokenizer.Decode(1u << 30), "");
}

/// A scan of the whole word for each merge, some 10^13 steps here, would not end.
TEST(TokenizerTest, OneHugeWordIsNotQuadratic) {
  const Tokenizer tokenizer = TinyTokenizer();
  std::string word;
  while (word.size() < 4'000'000) word += "thethaninerthe";
  const std::vector<uint32_t> ids = tokenizer.Encode(word);
  EXPECT_LT(ids.size(), word.size() / 2);
  EXPECT_EQ(DecodeAll(tokenizer, ids), word);
}

/// A vocabulary of a, b, ab, c, abc and two tokens that only llama-bpe finds as whole words.
GgufWriter Vocabulary(const std::string& pre) {
  GgufWriter writer;
  writer.AddString("tokenizer.ggml.model", "gpt2");
  writer.AddString("tokenizer.ggml.pre", pre);
  writer.AddStrings("tokenizer.ggml.tokens",
                    {"a", "b", "ab", "c", "cab", "<|x|>", "bcb", "secret"});
  writer.AddInt32s("tokenizer.ggml.token_type", {1, 1, 1, 1, 1, 4, 1, 3});
  writer.AddStrings("tokenizer.ggml.merges", {"a b", "c ab"});
  return writer;
}

TEST(TokenizerTest, WhateverMeansTheEndIsOne) {
  const ScratchDirectory scratch;
  GgufWriter writer;
  writer.AddString("tokenizer.ggml.model", "gpt2");
  writer.AddString("tokenizer.ggml.pre", "gpt-2");
  writer.AddStrings("tokenizer.ggml.tokens", {"a", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>",
                                              "<|x|>", "<|im_end|>", "</s>", "<|endoftext|>"});
  writer.AddInt32s("tokenizer.ggml.token_type", {1, 3, 3, 4, 3, 1, 3, 3});
  writer.AddStrings("tokenizer.ggml.merges", {});
  const auto ends = [&](const char* name) {
    EXPECT_TRUE(writer.Write(scratch.File(name)));
    const Tokenizer tokenizer = TokenizerOf(scratch.File(name));
    std::vector<uint32_t> found;
    for (uint32_t id = 0; id < 10; ++id) {
      if (tokenizer.IsEnd(id)) found.push_back(id);
    }
    return found;
  };
  using Ids = std::vector<uint32_t>;
  EXPECT_EQ(ends("none"), (Ids{1, 2, 3, 7}));  // 5 is text here
  writer.AddUint32("tokenizer.ggml.eos_token_id", 6);
  EXPECT_EQ(ends("eos"), (Ids{1, 2, 3, 6, 7}));
}

TEST(TokenizerTest, WholeWordsGoBeforeMergesOnlyInLlama3) {
  using Ids = std::vector<uint32_t>;
  const ScratchDirectory scratch;
  ASSERT_TRUE(Vocabulary("llama-bpe").Write(scratch.File("llama.gguf")));
  ASSERT_TRUE(Vocabulary("gpt-2").Write(scratch.File("gpt2.gguf")));
  const Tokenizer llama = TokenizerOf(scratch.File("llama.gguf"));
  const Tokenizer gpt2 = TokenizerOf(scratch.File("gpt2.gguf"));
  EXPECT_EQ(llama.Encode("bcb"), (Ids{6}));
  EXPECT_EQ(gpt2.Encode("bcb"), (Ids{1, 3, 1}));
  EXPECT_EQ(llama.Encode("cab"), (Ids{4}));
  EXPECT_EQ(gpt2.Encode("cab"), (Ids{4}));
  EXPECT_EQ(llama.Encode("secret"), (Ids{3}));  // a control token, and its letters are unknown
  EXPECT_EQ(gpt2.Encode("a?b"), (Ids{0, 1}));   // a byte without a token is dropped
  EXPECT_EQ(gpt2.Control("<|x|>"), 5u);         // user-defined, but spelt like a control token
}

struct Refusal {
  const char* what;
  void (*spoil)(GgufWriter& writer);
  Errc code;
  const char* message;
};

TEST(TokenizerTest, OtherTokenizersAreRefusedByName) {
  const std::vector<Refusal> refusals = {
      {"kind", [](GgufWriter& w) { w.AddString("tokenizer.ggml.model", "bert"); },
       Errc::kUnsupported, "'bert'"},
      {"no kind", [](GgufWriter&) {}, Errc::kNotFound, "tokenizer.ggml.model"},
      {"no pre", [](GgufWriter& w) { w.AddString("tokenizer.ggml.model", "gpt2"); },
       Errc::kUnsupported, "tokenizer.ggml.pre"},
      {"pre",
       [](GgufWriter& w) {
         w.AddString("tokenizer.ggml.model", "gpt2");
         w.AddString("tokenizer.ggml.pre", "tekken");
       },
       Errc::kUnsupported, "'tekken'"},
      {"types",
       [](GgufWriter& w) {
         w.AddString("tokenizer.ggml.model", "gpt2");
         w.AddString("tokenizer.ggml.pre", "gpt-2");
         w.AddStrings("tokenizer.ggml.tokens", {"a", "b"});
         w.AddInt32s("tokenizer.ggml.token_type", {1});
         w.AddStrings("tokenizer.ggml.merges", {});
       },
       Errc::kCorruption, "2 tokens and 1 token types"},
      {"merge without token",
       [](GgufWriter& w) {
         w.AddString("tokenizer.ggml.model", "gpt2");
         w.AddString("tokenizer.ggml.pre", "gpt-2");
         w.AddStrings("tokenizer.ggml.tokens", {"a", "b"});
         w.AddStrings("tokenizer.ggml.merges", {"a b"});
       },
       Errc::kCorruption, "merge 0 ('a b')"},
      {"bos outside",
       [](GgufWriter& w) {
         w.AddString("tokenizer.ggml.model", "gpt2");
         w.AddString("tokenizer.ggml.pre", "gpt-2");
         w.AddStrings("tokenizer.ggml.tokens", {"a", "b"});
         w.AddStrings("tokenizer.ggml.merges", {});
         w.AddUint32("tokenizer.ggml.bos_token_id", 2);
       },
       Errc::kCorruption, "bos_token_id is 2"},
  };
  const ScratchDirectory scratch;
  for (const Refusal& refusal : refusals) {
    GgufWriter writer;
    refusal.spoil(writer);
    ASSERT_TRUE(writer.Write(scratch.File("x.gguf")));
    const Result<GgufFile> file = GgufFile::Open(scratch.File("x.gguf"));
    ASSERT_TRUE(file);
    const Result<Tokenizer> tokenizer = Tokenizer::FromGguf(file.value());
    ASSERT_FALSE(tokenizer) << refusal.what;
    EXPECT_EQ(tokenizer.error().code, refusal.code) << refusal.what;
    EXPECT_NE(tokenizer.error().message.find(refusal.message), std::string::npos)
        << tokenizer.error().message;
  }
}

}  // namespace
}  // namespace cairn
