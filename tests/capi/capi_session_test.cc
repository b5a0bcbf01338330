// Sessions of the C API: reading, appending, generating, asking.
#include "tests/capi/capi_fixture.h"

namespace cairn::test {
namespace {

using Ids = std::vector<uint32_t>;

TEST_F(CapiTest, WhatIsReadIsThereAfterReopening) {
  CreateAndRead("s");
  const Ids tokens = Tokens();
  EXPECT_GT(tokens.size(), 500u);
  EXPECT_EQ(cairn_session_committed_tokens(session_), tokens.size());
  Reopen("s");
  EXPECT_EQ(Tokens(), tokens);
  const std::string text = LongText(20);
  EXPECT_EQ(cairn_session_read(session_, text.data(), text.size(), nullptr, nullptr, nullptr),
            CAIRN_OK);
  EXPECT_EQ(Tokens(), tokens) << "a text that was read before changes nothing";
}

TEST_F(CapiTest, SomeOfTheTokensCanBeRead) {
  CreateAndRead("s");
  const Ids all = Tokens();
  Ids some(10);
  size_t count = 0;
  ASSERT_EQ(cairn_session_read_tokens(session_, 5, some.data(), some.size(), &count), CAIRN_OK);
  EXPECT_EQ(count, 10u);
  EXPECT_EQ(some, Ids(all.begin() + 5, all.begin() + 15));
  ASSERT_EQ(cairn_session_read_tokens(session_, all.size() - 3, some.data(), some.size(), &count),
            CAIRN_OK);
  EXPECT_EQ(count, 3u);
  ASSERT_EQ(cairn_session_read_tokens(session_, 1ull << 40, some.data(), some.size(), &count),
            CAIRN_OK);
  EXPECT_EQ(count, 0u);
}

TEST_F(CapiTest, ReadingStopsAndGoesOn) {
  CreateAndRead("whole", 40);
  const Ids whole = Tokens();
  cairn_session_close(session_);
  Create("parts");
  const std::string text = LongText(40);
  const auto stop_half_way = [](void*, uint64_t done, uint64_t total) -> int {
    return done >= total / 2 ? 1 : 0;
  };
  EXPECT_EQ(
      cairn_session_read(session_, text.data(), text.size(), "a tale", stop_half_way, nullptr),
      CAIRN_INTERRUPTED);
  const uint64_t half = cairn_session_committed_tokens(session_);
  EXPECT_GE(half, whole.size() / 2);
  EXPECT_LT(half, whole.size());
  const std::string other = "Another text.";
  EXPECT_EQ(cairn_session_read(session_, other.data(), other.size(), nullptr, nullptr, nullptr),
            CAIRN_MISMATCH);
  EXPECT_NE(Why().find("a tale"), std::string::npos) << Why();
  Reopen("parts");
  ASSERT_EQ(cairn_session_read(session_, text.data(), text.size(), "a tale", nullptr, nullptr),
            CAIRN_OK)
      << Why();
  EXPECT_EQ(Tokens(), whole);
}

TEST_F(CapiTest, AppendedTokensAreScratchUntilCommitted) {
  CreateAndRead("s");
  const Ids before = Tokens();
  const Ids more(100, 70);
  ASSERT_EQ(cairn_session_append(session_, more.data(), more.size()), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_session_tokens(session_), before.size() + 100);
  EXPECT_EQ(cairn_session_committed_tokens(session_), before.size());
  ASSERT_EQ(cairn_session_revert(session_), CAIRN_OK) << Why();
  EXPECT_EQ(Tokens(), before);
  ASSERT_EQ(cairn_session_append(session_, more.data(), more.size()), CAIRN_OK) << Why();
  ASSERT_EQ(cairn_session_commit(session_), CAIRN_OK) << Why();
  Reopen("s");
  Ids after = before;
  after.insert(after.end(), more.begin(), more.end());
  EXPECT_EQ(Tokens(), after);
  ASSERT_EQ(cairn_session_append(session_, more.data(), 1), CAIRN_OK) << Why();
  Reopen("s");
  EXPECT_EQ(Tokens(), after) << "closing drops what is not committed";
}

TEST_F(CapiTest, ATokenThatIsNoneIsRefusedAndNothingAppended) {
  CreateAndRead("s");
  const Ids before = Tokens();
  const Ids bad{70, 71, 1u << 31};
  EXPECT_EQ(cairn_session_append(session_, bad.data(), bad.size()), CAIRN_INVALID_ARGUMENT);
  EXPECT_NE(Why().find("2147483648"), std::string::npos) << Why();
  EXPECT_EQ(Tokens(), before);
  EXPECT_EQ(cairn_session_append(session_, nullptr, 0), CAIRN_OK) << "nothing is no error";
}

TEST_F(CapiTest, AnAnswerLeavesTheSessionAsItWas) {
  CreateAndRead("s");
  const Ids before = Tokens();
  std::string first, second, piece;
  ASSERT_EQ(cairn_session_ask(session_, "Who?", 12, 0, KeepText, &first), CAIRN_OK) << Why();
  EXPECT_EQ(Tokens(), before);
  EXPECT_EQ(cairn_session_committed_tokens(session_), before.size());
  ASSERT_EQ(cairn_session_ask(session_, "Who?", 12, 0, KeepText, &second), CAIRN_OK) << Why();
  EXPECT_EQ(first, second);
  EXPECT_NE(first, "");
  ASSERT_EQ(cairn_session_ask(session_, "Who?", 12, 0, KeepOnePiece, &piece), CAIRN_OK) << Why();
  EXPECT_EQ(first.compare(0, piece.size(), piece), 0) << "the callback has stopped it";
  EXPECT_LT(piece.size(), first.size());
  EXPECT_EQ(cairn_session_ask(session_, "Who?", 3, 0, nullptr, nullptr), CAIRN_OK) << Why();
  EXPECT_EQ(Tokens(), before);
}

TEST_F(CapiTest, AKeptAnswerIsPartOfTheSession) {
  CreateAndRead("s");
  const Ids before = Tokens();
  ASSERT_EQ(cairn_session_ask(session_, "Who?", 8, CAIRN_ASK_KEEP, nullptr, nullptr), CAIRN_OK)
      << Why();
  Reopen("s");
  const Ids after = Tokens();
  ASSERT_GT(after.size(), before.size());
  EXPECT_EQ(Ids(after.begin(), after.begin() + std::ssize(before)), before);
}

TEST_F(CapiTest, AQuestionWantsACommittedSession) {
  CreateAndRead("s");
  const Ids more(3, 70);
  ASSERT_EQ(cairn_session_append(session_, more.data(), more.size()), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_session_ask(session_, "Who?", 8, 0, nullptr, nullptr), CAIRN_INVALID_ARGUMENT);
  EXPECT_NE(Why().find("3 tokens"), std::string::npos) << Why();
  EXPECT_EQ(cairn_session_tokens(session_), cairn_session_committed_tokens(session_) + 3)
      << "refused, not dropped";
  ASSERT_EQ(cairn_session_commit(session_), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_session_ask(session_, "Who?", 8, 0, nullptr, nullptr), CAIRN_OK) << Why();
}

TEST_F(CapiTest, GeneratingGoesOnFromAPrompt) {
  CreateAndRead("s");
  const uint64_t before = cairn_session_tokens(session_);
  const std::string prompt = "Once";
  const auto generate = [&](float temperature, uint64_t seed) {
    std::string text;
    EXPECT_EQ(cairn_session_generate(session_, prompt.data(), prompt.size(), 16, temperature, seed,
                                     KeepText, &text),
              CAIRN_OK)
        << Why();
    EXPECT_GT(cairn_session_tokens(session_), before);
    EXPECT_EQ(cairn_session_committed_tokens(session_), before);
    EXPECT_EQ(cairn_session_revert(session_), CAIRN_OK) << Why();
    return text;
  };
  const std::string greedy = generate(0, 1);
  EXPECT_EQ(greedy, generate(0, 2));
  const std::string drawn = generate(5, 1);
  EXPECT_EQ(drawn, generate(5, 1));
  EXPECT_NE(drawn, generate(5, 2));
  EXPECT_EQ(cairn_session_tokens(session_), before);
}

TEST_F(CapiTest, WhatAStoppedCallbackSawIsKept) {
  CreateAndRead("s");
  std::string piece;
  ASSERT_EQ(cairn_session_generate(session_, "Once", 4, 16, 0, 0, KeepOnePiece, &piece), CAIRN_OK)
      << Why();
  ASSERT_NE(piece, "");
  ASSERT_EQ(cairn_session_commit(session_), CAIRN_OK) << Why();
  const Ids tokens = Tokens();
  char text[64];
  size_t bytes = 0;
  ASSERT_EQ(cairn_model_token_text(model_, tokens.back(), text, sizeof text, &bytes), CAIRN_OK);
  ASSERT_GT(bytes, 0u);
  EXPECT_EQ(piece.substr(piece.size() - bytes), std::string(text, bytes));
}

TEST_F(CapiTest, WrongNumbersAreRefusedAndChangeNothing) {
  CreateAndRead("s");
  const Ids before = Tokens();
  const auto generate = [&](const char* prompt, size_t bytes, uint64_t most, float temperature) {
    return cairn_session_generate(session_, prompt, bytes, most, temperature, 0, nullptr, nullptr);
  };
  EXPECT_EQ(generate("a", 1, 0, 0), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(generate("", 0, 5, 0), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(generate("a", 1, 5, -1), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(generate("a", 1, 5, std::strtof("nan", nullptr)), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(cairn_session_ask(session_, "Who?", 5, 64, nullptr, nullptr), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(cairn_session_read(session_, "", 0, "nothing", nullptr, nullptr),
            CAIRN_INVALID_ARGUMENT);
  EXPECT_NE(Why().find("nothing"), std::string::npos) << Why();
  EXPECT_EQ(Tokens(), before);
  const std::string text = "And then some more.";
  EXPECT_EQ(cairn_session_read(session_, text.data(), text.size(), nullptr, nullptr, nullptr),
            CAIRN_OK)
      << "nothing is left of the empty text: " << Why();
}

TEST_F(CapiTest, ScratchOutlivesAnArgumentThatIsRefused) {
  CreateAndRead("s");
  const Ids more(3, 70), bad{1u << 31};
  ASSERT_EQ(cairn_session_append(session_, more.data(), more.size()), CAIRN_OK) << Why();
  const Ids before = Tokens();
  const auto generate = [&](const char* prompt, size_t bytes, uint64_t most, float temperature) {
    return cairn_session_generate(session_, prompt, bytes, most, temperature, 0, nullptr, nullptr);
  };
  const auto refused = [&](cairn_status status, const char* what) {
    EXPECT_EQ(status, CAIRN_INVALID_ARGUMENT) << what;
    EXPECT_EQ(Tokens(), before) << what;
  };
  refused(cairn_session_append(session_, bad.data(), bad.size()), "no token");
  refused(generate("a", 1, 5, -1), "temperature");
  refused(generate("a", 1, 0, 0), "no tokens to generate");
  refused(generate("", 0, 5, 0), "an empty prompt");
  refused(cairn_session_read(session_, "", 0, nullptr, nullptr, nullptr), "an empty text");
  refused(cairn_session_ask(session_, "Who?", 5, 64, nullptr, nullptr), "flags");
  refused(cairn_session_ask(session_, "Who?", 0, 0, nullptr, nullptr), "no tokens to answer with");
  ASSERT_EQ(cairn_session_commit(session_), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_session_committed_tokens(session_), before.size());
}

TEST_F(CapiTest, AnEmptySessionTakesNoEmptyPrompt) {
  Create("s");
  EXPECT_EQ(cairn_session_generate(session_, "", 0, 5, 0, 0, nullptr, nullptr),
            CAIRN_INVALID_ARGUMENT);
}

TEST_F(CapiTest, NamesAndModelsAreChecked) {
  Create("s");
  cairn_session* other = nullptr;
  EXPECT_EQ(cairn_session_create(store_, model_, "../s", nullptr, &other), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(cairn_session_open(store_, model_, "nobody", nullptr, &other), CAIRN_NOT_FOUND);
  cairn_session_close(session_);
  session_ = nullptr;
  EXPECT_EQ(cairn_session_create(store_, model_, "s", nullptr, &other), CAIRN_EXISTS) << Why();
  cairn_model* another = nullptr;
  ASSERT_EQ(cairn_model_load(TinyModel("other.gguf").c_str(), nullptr, 0, &another), CAIRN_OK);
  EXPECT_EQ(cairn_session_open(store_, another, "s", nullptr, &other), CAIRN_MISMATCH);
  EXPECT_EQ(other, nullptr);
  EXPECT_EQ(cairn_model_free(another), CAIRN_OK) << Why();
}

TEST_F(CapiTest, LandmarksComeWithAnAdapter) {
  const std::string adapter = TinyModel("landmark.gguf") + "=1.0";
  const char* const adapters[] = {adapter.c_str()};
  cairn_model* model = nullptr;
  ASSERT_EQ(cairn_model_load(TinyModel("tiny.gguf").c_str(), adapters, 1, &model), CAIRN_OK)
      << Why();
  cairn_options* options = nullptr;
  ASSERT_EQ(cairn_options_new(&options), CAIRN_OK);
  // It was trained on 256 rows of 16-row blocks: (4 + 1) * 16 + 64 + 15 fit.
  ASSERT_EQ(cairn_options_set(options, "chunk", "64"), CAIRN_OK);
  ASSERT_EQ(cairn_options_set(options, "retrieve", "4"), CAIRN_OK);
  cairn_session* session = nullptr;
  ASSERT_EQ(cairn_session_create(store_, model, "marked", options, &session), CAIRN_OK) << Why();
  const std::string text = LongText(20);
  EXPECT_EQ(cairn_session_read(session, text.data(), text.size(), nullptr, nullptr, nullptr),
            CAIRN_OK)
      << Why();
  std::string answer;
  EXPECT_EQ(cairn_session_ask(session, "Who?", 8, 0, KeepText, &answer), CAIRN_OK) << Why();
  EXPECT_NE(answer, "");
  cairn_session_close(session);
  EXPECT_EQ(cairn_session_open(store_, model_, "marked", nullptr, &session), CAIRN_MISMATCH)
      << "without the adapter";
  cairn_options_free(options);
  EXPECT_EQ(cairn_model_free(model), CAIRN_OK) << Why();
}

TEST_F(CapiTest, OptionsReachTheSession) {
  cairn_options* options = nullptr;
  ASSERT_EQ(cairn_options_new(&options), CAIRN_OK);
  ASSERT_EQ(cairn_options_set(options, "block-tokens", "32"), CAIRN_OK);
  ASSERT_EQ(cairn_options_set(options, "raw", "true"), CAIRN_OK);
  ASSERT_EQ(cairn_session_create(store_, model_, "s", options, &session_), CAIRN_OK) << Why();
  const std::string text = "A tale.";
  ASSERT_EQ(cairn_session_read(session_, text.data(), text.size(), nullptr, nullptr, nullptr),
            CAIRN_OK)
      << Why();
  size_t count = 0;
  ASSERT_EQ(cairn_model_tokenize(model_, text.data(), text.size(), nullptr, 0, &count), CAIRN_OK);
  EXPECT_LE(cairn_session_tokens(session_), count + 1) << "no chat template in a raw session";
  cairn_session_close(session_);
  session_ = nullptr;
  ASSERT_EQ(cairn_options_set(options, "block-tokens", "64"), CAIRN_OK);
  EXPECT_EQ(cairn_session_open(store_, model_, "s", options, &session_), CAIRN_MISMATCH);
  EXPECT_NE(Why().find("32"), std::string::npos) << Why();
  ASSERT_EQ(cairn_options_set(options, "block-tokens", "32"), CAIRN_OK);
  ASSERT_EQ(cairn_options_set(options, "mass-target", "2"), CAIRN_OK);
  EXPECT_EQ(cairn_session_open(store_, model_, "s", options, &session_), CAIRN_INVALID_ARGUMENT);
  EXPECT_NE(Why().find("mass-target"), std::string::npos) << Why();
  ASSERT_EQ(cairn_options_set(options, "mass-target", "0.9"), CAIRN_OK);
  EXPECT_EQ(cairn_session_open(store_, model_, "s", options, &session_), CAIRN_OK) << Why();
  cairn_options_free(options);
}

TEST_F(CapiTest, SessionsOfOtherBlocksFollowEachOtherInOneStore) {
  CreateAndRead("wide");
  const Ids tokens = Tokens();
  cairn_options* options = nullptr;
  cairn_session* other = nullptr;
  ASSERT_EQ(cairn_options_new(&options), CAIRN_OK);
  ASSERT_EQ(cairn_options_set(options, "kv-type", "q8"), CAIRN_OK);
  EXPECT_EQ(cairn_session_create(store_, model_, "narrow", options, &other), CAIRN_MISMATCH);
  EXPECT_NE(Why().find("close them first"), std::string::npos) << Why();
  EXPECT_EQ(SessionNames(), std::vector<std::string>{"wide"});
  cairn_session_close(session_);
  session_ = nullptr;
  ASSERT_EQ(cairn_session_create(store_, model_, "narrow", options, &other), CAIRN_OK) << Why();
  cairn_options_free(options);
  const std::string text = LongText(20);
  EXPECT_EQ(cairn_session_read(other, text.data(), text.size(), nullptr, nullptr, nullptr),
            CAIRN_OK)
      << Why();
  cairn_session_close(other);
  ASSERT_EQ(cairn_session_open(store_, model_, "wide", nullptr, &session_), CAIRN_OK) << Why();
  EXPECT_EQ(Tokens(), tokens);
  EXPECT_EQ(cairn_session_ask(session_, "Who?", 8, 0, nullptr, nullptr), CAIRN_OK) << Why();
}

TEST_F(CapiTest, TwoSessionsTakeTurnsWithOneModel) {
  CreateAndRead("a");
  cairn_session* a = session_;
  session_ = nullptr;
  CreateAndRead("b", 25);
  std::string alone, among;
  ASSERT_EQ(cairn_session_ask(a, "Who?", 8, 0, KeepText, &alone), CAIRN_OK) << Why();
  ASSERT_EQ(cairn_session_ask(session_, "What?", 8, 0, nullptr, nullptr), CAIRN_OK) << Why();
  ASSERT_EQ(cairn_session_ask(a, "Who?", 8, 0, KeepText, &among), CAIRN_OK) << Why();
  EXPECT_EQ(alone, among);
  cairn_session_close(a);
}

}  // namespace
}  // namespace cairn::test
