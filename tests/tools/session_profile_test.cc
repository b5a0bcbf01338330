// SessionProfile: what is kept with a session and read back, also in the form of older sessions.
#include "tools/session_profile.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/scratch_directory.h"
#include "tests/support/tiny_model.h"

namespace cairn {
namespace {

constexpr const char* kOptions =
    R"("options":{"block_tokens":63,"chunk":256,"kv_type":"f16","mode":"landmark","raw":false,)"
    R"("representatives":1,"selection":"per-chunk"})";

/// As a cairn of one adapter wrote it; `adapter` is an object or null.
std::string OlderForm(const std::string& adapter) {
  return R"({"adapter":)" + adapter +
         R"(,"ingests":[],"model":{"fingerprint":"feed","path":"m"},)" + kOptions +
         R"(,"turn_open":true})";
}

SessionProfile Read(const std::string& text) {
  auto profile = SessionProfile::FromJson(text);
  EXPECT_TRUE(profile.has_value()) << text;
  return profile.has_value() ? std::move(profile).value() : SessionProfile();
}

TEST(SessionProfileTest, NumbersThatNoSessionHasAreErrors) {
  SessionProfile profile;
  profile.ingests.push_back({"hash", "book.txt", 0, 0, 1000, true, true});
  const auto json = nlohmann::json::parse(profile.ToJson());
  for (const char* name : {"block_tokens", "representatives", "chunk"}) {
    for (const nlohmann::json& bad : {nlohmann::json(-1), nlohmann::json(1e300),
                                      nlohmann::json(uint64_t{1} << 63), nlohmann::json(2.5)}) {
      auto changed = json;
      changed["options"][name] = bad;
      EXPECT_FALSE(SessionProfile::FromJson(changed.dump()).has_value()) << changed.dump();
    }
  }
  for (const char* name : {"limit", "start", "tokens"}) {
    auto changed = json;
    changed["ingests"][0][name] = -5;
    EXPECT_FALSE(SessionProfile::FromJson(changed.dump()).has_value()) << changed.dump();
  }
  for (const int chunk :
       {0, 1}) {  // a token and its landmark are two rows: no step would have an end
    auto changed = json;
    changed["options"]["chunk"] = chunk;
    EXPECT_FALSE(SessionProfile::FromJson(changed.dump()).has_value()) << chunk;
  }
  auto changed = json;  // two that cannot be added
  changed["ingests"][0]["start"] = INT64_MAX;
  EXPECT_FALSE(SessionProfile::FromJson(changed.dump()).has_value());
  EXPECT_TRUE(SessionProfile::FromJson(json.dump()).has_value());
}

TEST(SessionProfileTest, SessionsOfOneAdapterAreReadAndTheirDigestStays) {
  const SessionProfile one = Read(OlderForm(R"({"fingerprint":"beef","path":"a","scale":0.5})"));
  ASSERT_EQ(one.adapters.size(), 1u);
  EXPECT_EQ(one.adapters[0].path, "a");
  EXPECT_EQ(one.adapters[0].fingerprint, "beef");
  EXPECT_EQ(one.adapters[0].scale, 0.5);
  EXPECT_EQ(one.mode, AttentionMode::kLandmark);
  EXPECT_EQ(one.DigestText(), R"({"adapter":"beef","model":"feed",)" + std::string(kOptions) + "}");
  const SessionProfile none = Read(OlderForm("null"));
  EXPECT_TRUE(none.adapters.empty());
  EXPECT_EQ(none.DigestText(), R"({"adapter":"","model":"feed",)" + std::string(kOptions) + "}");
}

TEST(SessionProfileTest, SeveralAdaptersAreKeptAsGivenAndCoveredInNoOrder) {
  SessionProfile profile = Read(OlderForm("null"));
  profile.adapters = {{"b", "22", 0.1}, {"a", "11", -2}};
  const SessionProfile again = Read(profile.ToJson());
  ASSERT_EQ(again.adapters.size(), 2u);
  EXPECT_EQ(again.adapters[0].path, "b");
  EXPECT_EQ(again.adapters[0].scale, 0.1);
  EXPECT_EQ(again.adapters[1].fingerprint, "11");
  EXPECT_EQ(again.ToJson(), profile.ToJson());
  std::swap(profile.adapters[0], profile.adapters[1]);
  EXPECT_EQ(again.DigestText(), profile.DigestText());
  profile.adapters.pop_back();
  EXPECT_NE(again.DigestText(), profile.DigestText());
}

TEST(SessionProfileTest, AModelThatAnotherProgramRunsIsNotGoneOnWith) {
  SessionProfile profile = Read(OlderForm("null"));
  EXPECT_TRUE(profile.CheckOwnModel("one").has_value());
  EXPECT_EQ(profile.ToJson().find("caller"), std::string::npos);
  profile.caller = "somebody's \"model\"";
  const SessionProfile again = Read(profile.ToJson());
  EXPECT_EQ(again.caller, profile.caller);
  EXPECT_EQ(again.ToJson(), profile.ToJson());
  const Status refused = again.CheckOwnModel("one");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Errc::kMismatch);
  EXPECT_NE(refused.error().message.find("session 'one' is of the model 'somebody's \"model\"'"),
            std::string::npos)
      << refused.error().message;
}

TEST(SessionProfileTest, OtherTextsAreRefused) {
  for (const std::string& text : {std::string("{"), std::string("[]"), OlderForm("7")}) {
    const auto profile = SessionProfile::FromJson(text);
    ASSERT_FALSE(profile.has_value()) << text;
    EXPECT_EQ(profile.error().code, Errc::kCorruption);
  }
}

IngestRecord Text(const std::string& name, int64_t start, int64_t tokens, bool opens_turn) {
  return {name, name + ".txt", 0, start, tokens, opens_turn, true};
}

/// Texts "a" and "b" in one turn, a conversation that was kept from 200 to 230, and text "c".
SessionProfile ThreeTexts() {
  SessionProfile profile;
  profile.ingests = {Text("a", 0, 150, true), Text("b", 150, 50, false), Text("c", 230, 70, true)};
  profile.turn_open = true;
  return profile;
}

TEST(SessionProfileTest, ItCanEndWhereTheTurnIsKnown) {
  SessionProfile profile = ThreeTexts();
  for (const int64_t token : {0, 1, 149, 150, 151, 199, 200, 230, 231, 300}) {
    EXPECT_TRUE(profile.CanEndAt(token)) << token;
  }
  for (const int64_t token : {201, 215, 229, 301}) EXPECT_FALSE(profile.CanEndAt(token)) << token;
  profile.raw = true;
  EXPECT_TRUE(profile.CanEndAt(215));
}

TEST(SessionProfileTest, AtAnEarlierEndTextsAreUnfinishedOrNotRead) {
  struct Case {
    int64_t token;
    std::string texts;  // those that are left; a capital letter: it is done
    bool turn_open;
  };
  for (const Case& at : {Case{0, "", false}, Case{1, "a", true}, Case{149, "a", true},
                         Case{150, "A", true}, Case{151, "Ab", true}, Case{200, "AB", true},
                         Case{230, "AB", false}, Case{231, "ABc", true}, Case{300, "ABC", true}}) {
    SessionProfile profile = ThreeTexts();
    profile.EndAt(at.token);
    std::string texts;
    for (const IngestRecord& ingest : profile.ingests) {
      texts += static_cast<char>(ingest.done ? ingest.hash[0] - 'a' + 'A' : ingest.hash[0]);
    }
    EXPECT_EQ(texts, at.texts) << at.token;
    EXPECT_EQ(profile.turn_open, at.turn_open) << at.token;
  }
  SessionProfile raw = ThreeTexts();
  raw.raw = true;
  raw.EndAt(160);
  EXPECT_FALSE(raw.turn_open);
  EXPECT_FALSE(raw.ingests.back().done);
}

TEST(SessionProfileTest, ATextThatIsHalfReadCanBeGivenUp) {
  SessionProfile profile = ThreeTexts();
  profile.EndText(300);
  EXPECT_EQ(profile.ToJson(), ThreeTexts().ToJson());
  profile.EndAt(250);
  profile.EndText(250);
  EXPECT_TRUE(profile.ingests.back().done);
  EXPECT_EQ(profile.ingests.back().tokens, 20);
  EXPECT_EQ(profile.ingests.back().hash, "");
  SessionProfile none;
  none.EndText(0);
  EXPECT_TRUE(none.ingests.empty());
}

class CheckAdaptersTest : public testing::Test {
 protected:
  CheckAdaptersTest() {
    EXPECT_TRUE(test::WriteTinyAdapter(File("landmark"), {}, {}));
    EXPECT_TRUE(test::WriteTinyAdapter(File("a"), {}, {.seed = 8, .landmark = false}));
    EXPECT_TRUE(test::WriteTinyAdapter(File("b"), {}, {.seed = 9, .landmark = false}));
  }
  std::string File(const std::string& name) const { return directory_.File(name); }
  AdapterSet Set(const std::vector<AdapterSource>& sources) const {
    std::vector<Adapter> adapters;
    for (const auto& [name, scale] : sources) {
      auto adapter = Adapter::Open(File(name), scale);
      EXPECT_TRUE(adapter.has_value()) << adapter.error().message;
      adapters.push_back(std::move(adapter).value());
    }
    auto set = AdapterSet::Make(std::move(adapters));
    EXPECT_TRUE(set.has_value()) << set.error().message;
    return std::move(set).value();
  }
  SessionProfile Made(const std::vector<AdapterSource>& sources) const {
    SessionProfile profile;
    const AdapterSet set = Set(sources);
    for (const Adapter& adapter : set.adapters()) {
      profile.adapters.push_back({adapter.path(), adapter.Fingerprint(), adapter.user_scale()});
    }
    if (set.landmark() != nullptr) profile.mode = AttentionMode::kLandmark;
    return profile;
  }
  void ExpectRefused(const std::vector<AdapterSource>& made,
                     const std::vector<AdapterSource>& given, const std::string& part) const {
    const Status status = Made(made).CheckAdapters("s", Set(given));
    ASSERT_FALSE(status.has_value()) << part;
    EXPECT_EQ(status.error().code, Errc::kMismatch);
    EXPECT_NE(status.error().message.find(part), std::string::npos) << status.error().message;
  }

  test::ScratchDirectory directory_;
};

TEST_F(CheckAdaptersTest, TheSameInAnyOrderAreAccepted) {
  EXPECT_TRUE(Made({}).CheckAdapters("s", Set({})));
  const SessionProfile made = Made({{"landmark", 0.7}, {"a"}, {"b", -1}});
  EXPECT_TRUE(made.CheckAdapters("s", Set({{"landmark", 0.7}, {"a"}, {"b", -1}})));
  EXPECT_TRUE(made.CheckAdapters("s", Set({{"b", -1}, {"a"}, {"landmark", 0.7}})));
}

TEST_F(CheckAdaptersTest, AFileThatMovedIsTheSame) {
  const SessionProfile made = Made({{"a", 0.5}});
  EXPECT_TRUE(test::WriteTinyAdapter(File("moved"), {}, {.seed = 8, .landmark = false}));
  EXPECT_TRUE(made.CheckAdapters("s", Set({{"moved", 0.5}})));
}

TEST_F(CheckAdaptersTest, RefusalsSayWhatDiffers) {
  ExpectRefused({{"landmark"}, {"a"}}, {{"landmark"}, {"a", 0.5}},
                File("a") + " has scale 0.5, session 's' was made with scale 1");
  ExpectRefused({{"landmark"}}, {},
                "session 's' was made with landmarks (adapter " + File("landmark") +
                    ", scale 1), this command gives no adapter");
  ExpectRefused({{"landmark"}, {"a"}}, {{"a"}}, "this command gives adapters without");
  ExpectRefused({{"landmark"}, {"a"}}, {{"landmark"}},
                "this command does not give adapter " + File("a"));
  ExpectRefused({}, {{"landmark"}},
                "session 's' was made without landmarks (no adapter), adapter " + File("landmark") +
                    " (with landmarks) was not part of it");
  ExpectRefused({{"a"}}, {{"a"}, {"b"}}, "adapter " + File("b") + " was not part of it");
}

TEST_F(CheckAdaptersTest, AChangedFileIsNamedWithItsFingerprints) {
  const SessionProfile made = Made({{"a"}});
  EXPECT_TRUE(test::WriteTinyAdapter(File("a"), {}, {.seed = 10, .landmark = false}));
  const AdapterSet set = Set({{"a"}});
  const Status status = made.CheckAdapters("s", set);
  ASSERT_FALSE(status.has_value());
  for (const std::string& part : {std::string("the file at ") + File("a") + " has changed",
                                  made.adapters[0].fingerprint, set.adapters()[0].Fingerprint()}) {
    EXPECT_NE(status.error().message.find(part), std::string::npos) << status.error().message;
  }
}

}  // namespace
}  // namespace cairn
