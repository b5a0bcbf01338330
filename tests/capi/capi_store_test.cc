// Stores, models, options and errors of the C API.
#include <fstream>
#include <thread>

#include "tests/capi/capi_fixture.h"

namespace cairn::test {
namespace {

using Strings = std::vector<std::string>;

TEST(CapiErrors, EveryCodeHasAWordOfItsOwn) {
  Strings words;
  for (int code = CAIRN_OK; code <= CAIRN_INTERNAL; ++code) {
    words.push_back(cairn_status_name(code));
    EXPECT_NE(words.back(), "unknown") << code;
    for (size_t i = 0; i + 1 < words.size(); ++i) EXPECT_NE(words[i], words.back());
  }
  EXPECT_STREQ(cairn_status_name(CAIRN_INTERNAL + 1), "unknown");
  EXPECT_STREQ(cairn_status_name(-1), "unknown");
}

TEST(CapiErrors, VersionIsTheProjects) { EXPECT_STREQ(cairn_version(), CAIRN_VERSION); }

TEST(CapiErrors, ASentenceBelongsToItsThread) {
  ASSERT_EQ(cairn_store_open("/nonexistent/store", 0, nullptr, nullptr), CAIRN_INVALID_ARGUMENT);
  const std::string mine = Why();
  std::string others;
  std::thread([&] { others = Why(); }).join();
  EXPECT_NE(mine, "");
  EXPECT_EQ(others, "");
  EXPECT_EQ(Why(), mine) << "a call that succeeds keeps it";
}

TEST(CapiOptions, NamesAndValuesAreChecked) {
  cairn_options* options = nullptr;
  ASSERT_EQ(cairn_options_new(&options), CAIRN_OK);
  EXPECT_EQ(cairn_options_set(options, "chunk", "64"), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_options_set(options, "raw", "true"), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_options_set(options, "host-memory", "64MiB"), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_options_set(options, "chunks", "64"), CAIRN_INVALID_ARGUMENT);
  EXPECT_NE(Why().find("'chunks'"), std::string::npos) << Why();
  for (const char* no_number : {"", "many", "6 4", "64x", "99999999999"}) {
    EXPECT_EQ(cairn_options_set(options, "chunk", no_number), CAIRN_INVALID_ARGUMENT) << no_number;
  }
  EXPECT_EQ(cairn_options_set(options, "read-ahead", "yes"), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(cairn_options_set(options, "read-ahead", "false"), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_options_set(options, "mass-target", "0.95"), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_options_set(options, "mass-target", "much"), CAIRN_INVALID_ARGUMENT);
  cairn_options_free(options);
  cairn_options_free(nullptr);
}

TEST(CapiOptions, ValuesReachTheStore) {
  cairn_options* options = nullptr;
  cairn_store* store = nullptr;
  ASSERT_EQ(cairn_options_new(&options), CAIRN_OK);
  ASSERT_EQ(cairn_options_set(options, "host-memory", "plenty"), CAIRN_OK);
  EXPECT_EQ(cairn_store_open("unused", CAIRN_STORE_CREATE, options, &store),
            CAIRN_INVALID_ARGUMENT);
  EXPECT_NE(Why().find("host-memory"), std::string::npos) << Why();
  EXPECT_EQ(store, nullptr);
  EXPECT_FALSE(std::filesystem::exists("unused")) << "nothing is made of an error";
  cairn_options_free(options);
}

TEST_F(CapiTest, AStoreThatCannotBeOpenedIsNotMade) {
  cairn_options* options = nullptr;
  cairn_store* store = nullptr;
  ASSERT_EQ(cairn_options_new(&options), CAIRN_OK);
  ASSERT_EQ(cairn_options_set(options, "device", "cuda:4096"), CAIRN_OK) << Why();
  const std::string path = (directory_ / "other").string();
  EXPECT_NE(cairn_store_open(path.c_str(), CAIRN_STORE_CREATE, options, &store), CAIRN_OK);
  EXPECT_EQ(store, nullptr);
  EXPECT_FALSE(std::filesystem::exists(path));
  std::filesystem::create_directory(path);
  EXPECT_NE(cairn_store_open(path.c_str(), CAIRN_STORE_CREATE, options, &store), CAIRN_OK);
  EXPECT_TRUE(std::filesystem::is_empty(path)) << "a directory that was there stays";
  CloseStore();
  EXPECT_NE(cairn_store_open(StorePath().c_str(), CAIRN_STORE_CREATE, options, &store), CAIRN_OK);
  OpenStore();
  EXPECT_EQ(SessionNames(), Strings{});
  cairn_options_free(options);
}

TEST(CapiThreads, NumbersAreChecked) {
  EXPECT_EQ(cairn_set_threads(0), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(cairn_set_threads(1025), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(cairn_set_threads(2), CAIRN_OK) << Why();
}

TEST_F(CapiTest, NoStoreIsMadeUnlessAskedFor) {
  cairn_store* other = nullptr;
  const std::string path = (directory_ / "other").string();
  EXPECT_EQ(cairn_store_open(path.c_str(), 0, nullptr, &other), CAIRN_NOT_FOUND);
  EXPECT_NE(Why().find(path), std::string::npos) << Why();
  EXPECT_EQ(cairn_store_open(path.c_str(), 64, nullptr, &other), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(
      cairn_store_open(path.c_str(), CAIRN_STORE_CREATE | CAIRN_STORE_READ_ONLY, nullptr, &other),
      CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(other, nullptr);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(CapiTest, ReadersStandBesideTheOneWriter) {
  CreateAndRead("s");
  cairn_store* other = nullptr;
  EXPECT_EQ(cairn_store_open(StorePath().c_str(), 0, nullptr, &other), CAIRN_BUSY) << Why();
  ASSERT_EQ(cairn_store_open(StorePath().c_str(), CAIRN_STORE_READ_ONLY, nullptr, &other), CAIRN_OK)
      << Why();
  std::string seen;
  const auto keep = [](void* user, const char* name, uint64_t tokens) {
    *static_cast<std::string*>(user) += std::string(name) + ":" + std::to_string(tokens);
    return 0;
  };
  EXPECT_EQ(cairn_store_sessions(other, keep, &seen), CAIRN_OK) << Why();
  EXPECT_EQ(seen, "s:" + std::to_string(cairn_session_tokens(session_)));
  cairn_session* session = nullptr;
  EXPECT_EQ(cairn_session_open(other, model_, "s", nullptr, &session), CAIRN_INVALID_ARGUMENT);
  EXPECT_EQ(cairn_store_fork(other, "s", "t"), CAIRN_INVALID_ARGUMENT) << Why();
  EXPECT_EQ(cairn_store_verify(other, nullptr, nullptr, nullptr), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_store_close(other), CAIRN_OK);
}

TEST_F(CapiTest, HandlesInUseStayOpen) {
  Create("s");
  EXPECT_EQ(cairn_store_close(store_), CAIRN_BUSY);
  EXPECT_NE(Why().find("'s'"), std::string::npos) << Why();
  EXPECT_EQ(cairn_model_free(model_), CAIRN_BUSY);
  EXPECT_EQ(cairn_store_delete(store_, "s"), CAIRN_BUSY);
  cairn_session* again = nullptr;
  EXPECT_EQ(cairn_session_open(store_, model_, "s", nullptr, &again), CAIRN_BUSY);
  EXPECT_EQ(again, nullptr);
}

TEST_F(CapiTest, ForksShareAndDeletesFree) {
  CreateAndRead("s");
  const std::vector<uint32_t> tokens = Tokens();
  ASSERT_EQ(cairn_store_fork(store_, "s", "t"), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_store_fork(store_, "s", "t"), CAIRN_EXISTS);
  EXPECT_EQ(cairn_store_fork(store_, "nobody", "u"), CAIRN_NOT_FOUND);
  EXPECT_EQ(SessionNames(), (Strings{"s", "t"}));
  cairn_session_close(session_);
  session_ = nullptr;
  ASSERT_EQ(cairn_store_delete(store_, "s"), CAIRN_OK) << Why();
  EXPECT_EQ(cairn_store_delete(store_, "s"), CAIRN_NOT_FOUND);
  EXPECT_EQ(SessionNames(), Strings{"t"});
  Reopen("t");
  EXPECT_EQ(Tokens(), tokens);
}

TEST_F(CapiTest, VerifyNamesWhatIsDamaged) {
  CreateAndRead("s");
  CloseStore();
  for (const auto& entry : std::filesystem::directory_iterator(StorePath() + "/blocks")) {
    if (entry.path().extension() != ".seg") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(5000);
    const int byte = file.get();
    file.seekp(5000);
    file.put(static_cast<char>(byte ^ 0x10));
  }
  OpenStore();
  Strings damaged;
  const auto keep = [](void* user, const char* session, const char* what) {
    static_cast<Strings*>(user)->push_back(std::string(session) + " " + what);
    return 0;
  };
  EXPECT_EQ(cairn_store_verify(store_, nullptr, keep, &damaged), CAIRN_CORRUPTION) << Why();
  ASSERT_EQ(damaged.size(), 1u);
  EXPECT_NE(damaged[0].find("s session 's' layer"), std::string::npos) << damaged[0];
  EXPECT_EQ(cairn_store_verify(store_, "s", nullptr, nullptr), CAIRN_CORRUPTION);
  EXPECT_EQ(cairn_store_verify(store_, "nobody", nullptr, nullptr), CAIRN_NOT_FOUND) << Why();
}

/// Goes back in the end to the directory that is the current one now.
class InDirectory {
 public:
  explicit InDirectory(const std::filesystem::path& path) { Go(path); }
  ~InDirectory() { Go(before_); }
  void Go(const std::filesystem::path& path) { std::filesystem::current_path(path); }

 private:
  const std::filesystem::path before_ = std::filesystem::current_path();
};

TEST_F(CapiTest, HandlesOutliveTheCurrentDirectory) {
  namespace fs = std::filesystem;
  for (const char* name : {"a", "b"}) {
    fs::create_directory(directory_ / name);
    cairn_store* store = nullptr;
    ASSERT_EQ(cairn_store_open((directory_ / name / "s").string().c_str(), CAIRN_STORE_CREATE,
                               nullptr, &store),
              CAIRN_OK)
        << Why();
    ASSERT_EQ(cairn_store_close(store), CAIRN_OK) << Why();
  }
  CloseStore();
  ASSERT_EQ(cairn_model_free(model_), CAIRN_OK) << Why();
  model_ = nullptr;
  fs::copy_file(TinyModel("tiny.gguf"), directory_ / "a/m.gguf");
  fs::copy_file(TinyModel("landmark.gguf"), directory_ / "a/l.gguf");
  cairn_options* options = nullptr;  // as for the adapter of CapiTest.LandmarksComeWithAnAdapter
  ASSERT_EQ(cairn_options_new(&options), CAIRN_OK);
  ASSERT_EQ(cairn_options_set(options, "chunk", "64"), CAIRN_OK);
  ASSERT_EQ(cairn_options_set(options, "retrieve", "4"), CAIRN_OK);

  InDirectory current(directory_ / "a");
  ASSERT_EQ(cairn_store_open("s", 0, nullptr, &store_), CAIRN_OK) << Why();
  const char* const adapters[] = {"l.gguf=1"};
  ASSERT_EQ(cairn_model_load("m.gguf", adapters, 1, &model_), CAIRN_OK) << Why();
  current.Go(directory_ / "b");
  ASSERT_EQ(cairn_session_create(store_, model_, "s", options, &session_), CAIRN_OK) << Why();
  cairn_options_free(options);
  const std::string text = LongText(20);
  ASSERT_EQ(cairn_session_read(session_, text.data(), text.size(), nullptr, nullptr, nullptr),
            CAIRN_OK)
      << Why();
  EXPECT_EQ(cairn_store_verify(store_, "s", nullptr, nullptr), CAIRN_OK) << Why();
  const auto files = [&](const char* name) {
    const fs::path blocks = directory_ / name / "s/blocks";
    return std::distance(fs::directory_iterator(blocks), fs::directory_iterator());
  };
  EXPECT_GT(files("a"), 0);
  EXPECT_EQ(files("b"), 0);

  // What the session remembers is named when something else is given.
  cairn_session_close(session_);
  session_ = nullptr;
  cairn_model* other = nullptr;
  ASSERT_EQ(cairn_model_load(TinyModel("other.gguf").c_str(), nullptr, 0, &other), CAIRN_OK)
      << Why();
  EXPECT_EQ(cairn_session_open(store_, other, "s", nullptr, &session_), CAIRN_MISMATCH);
  EXPECT_NE(Why().find((directory_ / "a/m.gguf").string()), std::string::npos) << Why();
  ASSERT_EQ(cairn_model_free(other), CAIRN_OK) << Why();
  ASSERT_EQ(cairn_model_load((directory_ / "a/m.gguf").string().c_str(), nullptr, 0, &other),
            CAIRN_OK)
      << Why();
  EXPECT_EQ(cairn_session_open(store_, other, "s", nullptr, &session_), CAIRN_MISMATCH);
  EXPECT_NE(Why().find((directory_ / "a/l.gguf").string()), std::string::npos) << Why();
  ASSERT_EQ(cairn_model_free(other), CAIRN_OK) << Why();
}

TEST_F(CapiTest, TokensGoBackToTheirText) {
  const std::string text = "the sea, \xc3\xa9t\xc3\xa9";
  std::vector<uint32_t> tokens(64);
  size_t count = 0;
  ASSERT_EQ(
      cairn_model_tokenize(model_, text.data(), text.size(), tokens.data(), tokens.size(), &count),
      CAIRN_OK)
      << Why();
  ASSERT_LE(count, tokens.size());
  size_t only_counted = 0;
  ASSERT_EQ(cairn_model_tokenize(model_, text.data(), text.size(), nullptr, 0, &only_counted),
            CAIRN_OK);
  EXPECT_EQ(only_counted, count);
  std::string back;
  for (size_t i = 0; i < count; ++i) {
    char piece[16];
    size_t bytes = 0;
    ASSERT_EQ(cairn_model_token_text(model_, tokens[i], piece, sizeof piece, &bytes), CAIRN_OK);
    ASSERT_LE(bytes, sizeof piece);
    back.append(piece, bytes);
  }
  EXPECT_EQ(back, text);
  size_t bytes = 0;
  EXPECT_EQ(cairn_model_token_text(model_, 1u << 30, nullptr, 0, &bytes), CAIRN_INVALID_ARGUMENT);
}

TEST_F(CapiTest, ModelsThatAreNoneAreRefused) {
  cairn_model* other = nullptr;
  EXPECT_EQ(cairn_model_load("/nonexistent/model.gguf", nullptr, 0, &other), CAIRN_NOT_FOUND);
  const char* const adapters[] = {"no-such-adapter"};
  EXPECT_EQ(cairn_model_load(TinyModel("tiny.gguf").c_str(), adapters, 1, &other), CAIRN_NOT_FOUND);
  EXPECT_NE(Why().find("no-such-adapter"), std::string::npos) << Why();
  EXPECT_EQ(other, nullptr);
}

}  // namespace
}  // namespace cairn::test
