// Vocabularies of SentencePiece: equal to the library's ids on tests/data, rules by hand, refusals.
#include "model/sentence_pieces.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "model/tokenizer.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/sentence_piece_vocabulary.h"

namespace cairn {
namespace {

using test::GgufWriter;
using test::ScratchDirectory;
using Ids = std::vector<uint32_t>;
using Pieces = test::SentencePieceVocabulary;

constexpr uint32_t kFirst = 259;  // the first id behind control tokens and bytes

uint32_t Byte(uint8_t byte) { return 3u + byte; }

Result<Tokenizer> Load(const GgufWriter& writer) {
  const ScratchDirectory scratch;
  EXPECT_TRUE(writer.Write(scratch.File("t.gguf")));
  CAIRN_TRY(const GgufFile file, GgufFile::Open(scratch.File("t.gguf")));
  return Tokenizer::FromGguf(file);
}

Tokenizer TokenizerOf(const Pieces& pieces) {
  GgufWriter writer;
  pieces.AddTo(writer);
  Result<Tokenizer> tokenizer = Load(writer);
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return std::move(tokenizer).value();
}

/// Of a text encoded at its start.
std::string DecodeAll(const Tokenizer& tokenizer, const Ids& ids) {
  std::string text = ids.empty() ? "" : tokenizer.DecodeAtStart(ids[0]);
  for (size_t i = 1; i < ids.size(); ++i) text += tokenizer.Decode(ids[i]);
  return text;
}

TEST(SentencePiecesTest, AgreesWithTheReference) {
  std::ifstream file(CAIRN_TEST_DATA "/sentencepiece.jsonl");
  ASSERT_TRUE(file) << "tests/data/sentencepiece.jsonl is missing";
  std::string line;
  ASSERT_TRUE(std::getline(file, line));
  const nlohmann::json vocabulary = nlohmann::json::parse(line);
  Pieces pieces;
  vocabulary["pieces"].get_to(pieces.pieces);
  vocabulary["types"].get_to(pieces.types);
  vocabulary["scores"].get_to(pieces.scores);
  const Tokenizer tokenizer = TokenizerOf(pieces);
  int lines = 0;
  for (; std::getline(file, line); ++lines) {
    const nlohmann::json entry = nlohmann::json::parse(line);
    const auto text = entry["text"].get<std::string>();
    const bool start = entry["start"].get<bool>();
    const Ids ids = start ? tokenizer.EncodeAtStart(text) : tokenizer.Encode(text);
    EXPECT_EQ(ids, entry["ids"].get<Ids>()) << line;
  }
  EXPECT_GE(lines, 500);
}

TEST(SentencePiecesTest, TheHighestScoreNextAndThenTheLeftmost) {
  // 259 "ab", 260 "bc", 261 "a", 262 "b", 263 "c", 264 "abc"
  Pieces pieces = Pieces::Of({"ab", "bc", "a", "b", "c", "abc"});
  EXPECT_EQ(TokenizerOf(pieces).Encode("abc"), (Ids{264}));
  EXPECT_EQ(TokenizerOf(pieces).Encode("bcab"), (Ids{260, 259}));
  pieces.pieces[264] = "x";
  EXPECT_EQ(TokenizerOf(pieces).Encode("abc"), (Ids{259, 263}));
  std::swap(pieces.scores[259], pieces.scores[260]);
  EXPECT_EQ(TokenizerOf(pieces).Encode("abc"), (Ids{261, 260}));
  pieces.scores[259] = pieces.scores[260];
  EXPECT_EQ(TokenizerOf(pieces).Encode("abc"), (Ids{259, 263}));
}

TEST(SentencePiecesTest, EqualScoresGoLeftmostInLongWordsToo) {
  const Tokenizer tokenizer = TokenizerOf([] {
    Pieces pieces = Pieces::Of({"a", "aa", "aaaa"});
    pieces.scores[kFirst + 1] = pieces.scores[kFirst + 2] = -1;
    return pieces;
  }());
  for (const size_t size : {5u, 47u, 49u, 103u, 1001u}) {
    Ids expected(size / 4, kFirst + 2);
    if (size % 4 >= 2) expected.push_back(kFirst + 1);
    if (size % 2 == 1) expected.push_back(kFirst);
    EXPECT_EQ(tokenizer.Encode(std::string(size, 'a')), expected) << size;
  }
}

TEST(SentencePiecesTest, CharactersThatAreNoPieces) {
  const Tokenizer tokenizer = TokenizerOf(Pieces::Of({"xy", "xyz", "a", "\u00e9"}));
  EXPECT_EQ(tokenizer.Encode("xyz"), (Ids{kFirst + 1})) << "x, y and z are parts of pieces only";
  EXPECT_EQ(tokenizer.Encode("zxy"), (Ids{Byte('z'), kFirst}));
  EXPECT_EQ(tokenizer.Encode("a\u00e8\u00e9"),
            (Ids{kFirst + 2, Byte(0xc3), Byte(0xa8), kFirst + 3}));
  EXPECT_EQ(tokenizer.Encode("\n"), (Ids{Byte('\n')}));
  EXPECT_EQ(tokenizer.Decode(Byte(0xc3)) + tokenizer.Decode(Byte(0xa8)), "\u00e8");
}

TEST(SentencePiecesTest, BytesThatAreNotUtf8) {
  const Tokenizer tokenizer = TokenizerOf(Pieces::Of({"a", "aa", "\u00e9"}));
  EXPECT_EQ(tokenizer.Encode("a\xff"
                             "a"),
            (Ids{kFirst, Byte(0xff), kFirst}));
  EXPECT_EQ(tokenizer.Encode("aa\xc3"), (Ids{kFirst + 1, Byte(0xc3)}));
  EXPECT_EQ(tokenizer.Encode("\xed\xa0\x80"), (Ids{Byte(0xed), Byte(0xa0), Byte(0x80)}));
}

TEST(SentencePiecesTest, SpacesInFront) {
  Pieces pieces = Pieces::Of({"\u2581", "a",
                              "\u2581"
                              "a",
                              "\u2581\u2581"});
  const Tokenizer tokenizer = TokenizerOf(pieces);
  EXPECT_TRUE(tokenizer.space_in_front());
  EXPECT_EQ(tokenizer.EncodeAtStart("a a"), (Ids{kFirst + 2, kFirst + 2}));
  EXPECT_EQ(tokenizer.Encode("a a"), (Ids{kFirst + 1, kFirst + 2}));
  EXPECT_EQ(tokenizer.EncodeAtStart(" a"), (Ids{kFirst, kFirst + 2}));
  EXPECT_EQ(tokenizer.EncodeAtStart(" "), (Ids{kFirst + 3}));
  EXPECT_EQ(tokenizer.EncodeAtStart(""), Ids{});
  EXPECT_EQ(tokenizer.Encode("\u2581"
                             "a"),
            (Ids{kFirst + 2}))
      << "the sign is a space";
  EXPECT_EQ(tokenizer.Decode(kFirst + 2), " a");
  EXPECT_EQ(tokenizer.DecodeAtStart(kFirst + 2), "a");
  EXPECT_EQ(tokenizer.DecodeAtStart(kFirst + 1), "a");
  EXPECT_EQ(tokenizer.Text(kFirst + 2),
            "\u2581"
            "a");

  GgufWriter writer;
  pieces.AddTo(writer);
  writer.AddBool("tokenizer.ggml.add_space_prefix", false);
  const Result<Tokenizer> none = Load(writer);
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_FALSE(none.value().space_in_front());
  EXPECT_EQ(none.value().EncodeAtStart("a a"), (Ids{kFirst + 1, kFirst + 2}));
  EXPECT_EQ(none.value().DecodeAtStart(kFirst + 2), " a");
}

TEST(SentencePiecesTest, OnlyTokensOfTextComeFromText) {
  Pieces pieces = Pieces::Of({"<", "s", ">", "<s", "u", "uu"});
  pieces.types[kFirst + 5] = 5;  // unused
  pieces.Add("<|im_end|>", 4, 0);
  const Tokenizer tokenizer = TokenizerOf(pieces);
  EXPECT_EQ(tokenizer.Encode("<s>"), (Ids{kFirst + 3, kFirst + 2}));
  EXPECT_EQ(tokenizer.Encode("uu"), (Ids{kFirst + 4, kFirst + 4}));
  EXPECT_EQ(tokenizer.Decode(kFirst + 5), "");
  EXPECT_EQ(tokenizer.Encode("<0x0A>").size(), 6u);
  EXPECT_EQ(tokenizer.Control("<s>"), 1u);
  EXPECT_TRUE(tokenizer.IsControl(0));
  EXPECT_EQ(tokenizer.Decode(1), "");
  EXPECT_EQ(tokenizer.Control("<|im_end|>"), kFirst + 6);
  for (const uint32_t id : tokenizer.Encode("<|im_end|>")) EXPECT_FALSE(tokenizer.IsControl(id));
  EXPECT_TRUE(tokenizer.IsEnd(2));
  EXPECT_TRUE(tokenizer.IsEnd(kFirst + 6));
  EXPECT_TRUE(tokenizer.add_bos());
  EXPECT_EQ(tokenizer.bos(), 1u);
}

TEST(SentencePiecesTest, TextIsCutAtUserDefinedTokensFirst) {
  Pieces pieces = Pieces::Of({"\u2581", "a",
                              "\u2581"
                              "a",
                              "[t"});
  pieces.Add("[t]", 4, 0);   // kFirst + 4
  pieces.Add("[t]]", 4, 0);  // kFirst + 5
  const Tokenizer tokenizer = TokenizerOf(pieces);
  EXPECT_EQ(tokenizer.Encode("a[t]a"), (Ids{kFirst + 1, kFirst + 4, kFirst + 2}));
  EXPECT_EQ(tokenizer.EncodeAtStart("[t]][t]"), (Ids{kFirst + 5, kFirst + 4}));
  EXPECT_EQ(tokenizer.Encode("[ta"), (Ids{kFirst + 3, kFirst + 1}));
  EXPECT_EQ(tokenizer.Decode(kFirst + 4), "[t]");
}

TEST(SentencePiecesTest, PiecesMayGoAcrossWords) {
  const Tokenizer tokenizer = TokenizerOf(Pieces::Of({"b\u2581",
                                                      "b\u2581"
                                                      "a",
                                                      "a", "b", "\u2581"}));
  EXPECT_EQ(tokenizer.Encode("ab a"), (Ids{kFirst + 2, kFirst + 1}));
  EXPECT_EQ(tokenizer.Encode("a a"), (Ids{kFirst + 2, kFirst + 4, kFirst + 2}));
}

TEST(SentencePiecesTest, DecodeUndoesEncode) {
  const Tokenizer tokenizer = TokenizerOf(Pieces::Of({"\u2581", "\u2581t", "h", "e", "he",
                                                      "\u2581"
                                                      "the",
                                                      "\u00e9"}));
  const uint64_t seed = 3;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 500; ++round) {
    std::string text(random() % 200, '\0');
    for (char& byte : text) {
      byte = random() % 8 == 0 ? static_cast<char>(random()) : " the\xc3\xa9"[random() % 6];
    }
    if (text.find(SentencePieces::kSpace) != std::string::npos) continue;
    ASSERT_EQ(DecodeAll(tokenizer, tokenizer.EncodeAtStart(text)), text) << "round " << round;
  }
}

TEST(SentencePiecesTest, AWordOfAMillionCharacters) {
  const Tokenizer tokenizer = TokenizerOf(Pieces::Of({"a", "aa", "aaaa", "aaaaaaaa"}));
  EXPECT_EQ(tokenizer.Encode(std::string(1 << 20, 'a')), Ids(1 << 17, kFirst + 3));
}

struct Refusal {
  const char* what;
  void (*spoil)(Pieces& pieces);
  const char* message;
};

TEST(SentencePiecesTest, SpoiltVocabulariesAreRefused) {
  const std::vector<Refusal> refusals = {
      {"scores", [](Pieces& p) { p.scores.pop_back(); },
       "261 tokens and 260 numbers in tokenizer.ggml.scores"},
      {"types", [](Pieces& p) { p.types.pop_back(); }, "261 tokens and 260 token types"},
      {"no number", [](Pieces& p) { p.scores[kFirst] = std::numeric_limits<float>::quiet_NaN(); },
       "tokenizer.ggml.scores[259] is nan"},
      {"infinite", [](Pieces& p) { p.scores[kFirst] = std::numeric_limits<float>::infinity(); },
       "tokenizer.ggml.scores[259] is inf"},
      {"no byte", [](Pieces& p) { p.types[Byte(0x1f)] = 5; },
       "tokenizer.ggml.tokens has no <0x1F>"},
      {"a byte that is text", [](Pieces& p) { p.types[Byte(0x20)] = 1; },
       "tokenizer.ggml.tokens has no <0x20>"},
      {"misspelt byte", [](Pieces& p) { p.pieces[Byte(0x1f)] = "<0x1f>"; },
       "tokenizer.ggml.tokens[34], '<0x1f>', is a byte not spelt as <0x0A> is"},
      {"twice", [](Pieces& p) { p.pieces[kFirst + 1] = "a"; },
       "tokenizer.ggml.tokens[260], 'a', is there twice"},
      {"not UTF-8", [](Pieces& p) { p.pieces[kFirst] = "\xc3"; }, "tokenizer.ggml.tokens[259], '"},
      {"long", [](Pieces& p) { p.pieces[kFirst] = std::string(513, 'a'); },
       "is longer than 512 bytes"},
  };
  for (const Refusal& refusal : refusals) {
    Pieces pieces = Pieces::Of({"a", "b"});
    refusal.spoil(pieces);
    GgufWriter writer;
    pieces.AddTo(writer);
    const Result<Tokenizer> tokenizer = Load(writer);
    ASSERT_FALSE(tokenizer) << refusal.what;
    EXPECT_EQ(tokenizer.error().code, Errc::kCorruption) << refusal.what;
    EXPECT_NE(tokenizer.error().message.find(refusal.message), std::string::npos)
        << tokenizer.error().message;
  }
}

TEST(SentencePiecesTest, MissingKeysAreNamed) {
  GgufWriter writer;
  writer.AddString("tokenizer.ggml.model", "llama");
  const auto refused = [&](const char* key) {
    const Result<Tokenizer> tokenizer = Load(writer);
    ASSERT_FALSE(tokenizer);
    EXPECT_EQ(tokenizer.error().code, Errc::kNotFound);
    EXPECT_NE(tokenizer.error().message.find(key), std::string::npos) << tokenizer.error().message;
  };
  refused("'tokenizer.ggml.token_type'");
  writer.AddInt32s("tokenizer.ggml.token_type", {1});
  refused("'tokenizer.ggml.scores'");
  writer.AddFloat32s("tokenizer.ggml.scores", {0});
  refused("'tokenizer.ggml.tokens'");
}

}  // namespace
}  // namespace cairn
