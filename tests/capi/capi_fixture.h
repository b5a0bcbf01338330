// What tests of the C API share: a directory, a store in it, a tiny model. They use cairn.h alone,
// as programs do.
#pragma once

#include <cairn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace cairn::test {

/// The sentence on the last error, for EXPECT_EQ(CAIRN_OK, ...) << Why().
inline std::string Why() { return cairn_last_error(); }

/// Needs CAIRN_TINY_MODELS, a directory that make_tiny_model has written.
inline std::string TinyModel(const std::string& name) {
  const char* directory = std::getenv("CAIRN_TINY_MODELS");
  EXPECT_NE(directory, nullptr) << "CAIRN_TINY_MODELS is not set";
  return std::string(directory == nullptr ? "." : directory) + "/" + name;
}

inline std::string LongText(int sentences) {
  std::string text;
  for (int i = 0; i < sentences; ++i) {
    text += "In the beginning was a long tale of the sea, told " + std::to_string(i) + " times. ";
  }
  return text;
}

/// A callback that keeps all it sees in a std::string, and one that stops at the first piece.
inline int KeepText(void* user, const char* text, size_t bytes) {
  static_cast<std::string*>(user)->append(text, bytes);
  return 0;
}
inline int KeepOnePiece(void* user, const char* text, size_t bytes) {
  KeepText(user, text, bytes);
  return 1;
}

/// Options by name; freed with it.
class Options {
 public:
  Options(std::initializer_list<std::pair<const char*, std::string>> values) {
    EXPECT_EQ(cairn_options_new(&options_), CAIRN_OK);
    for (const auto& [name, value] : values) Set(name, value);
  }
  ~Options() { cairn_options_free(options_); }
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;
  void Set(const char* name, const std::string& value) {
    EXPECT_EQ(cairn_options_set(options_, name, value.c_str()), CAIRN_OK) << Why();
  }
  const cairn_options* get() const { return options_; }

 private:
  cairn_options* options_ = nullptr;
};

class CapiTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "cairn_capi_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    OpenStore();
    ASSERT_EQ(cairn_model_load(TinyModel("tiny.gguf").c_str(), nullptr, 0, &model_), CAIRN_OK)
        << Why();
  }

  void TearDown() override {
    cairn_session_close(session_);
    EXPECT_EQ(cairn_model_free(model_), CAIRN_OK) << Why();
    EXPECT_EQ(cairn_store_close(store_), CAIRN_OK) << Why();
    std::filesystem::remove_all(directory_);
  }

  std::string StorePath() const { return (directory_ / "store").string(); }

  void OpenStore() {
    ASSERT_EQ(cairn_store_open(StorePath().c_str(), CAIRN_STORE_CREATE, nullptr, &store_), CAIRN_OK)
        << Why();
  }
  void CloseStore() {
    cairn_session_close(session_);
    session_ = nullptr;
    ASSERT_EQ(cairn_store_close(store_), CAIRN_OK) << Why();
    store_ = nullptr;
  }
  void Reopen(const char* name) {
    CloseStore();
    OpenStore();
    ASSERT_EQ(cairn_session_open(store_, model_, name, nullptr, &session_), CAIRN_OK) << Why();
  }
  void Create(const char* name) {
    ASSERT_EQ(cairn_session_create(store_, model_, name, nullptr, &session_), CAIRN_OK) << Why();
  }
  /// Makes session_ with a text that fills a few blocks.
  void CreateAndRead(const char* name, int sentences = 20) {
    Create(name);
    const std::string text = LongText(sentences);
    ASSERT_EQ(cairn_session_read(session_, text.data(), text.size(), nullptr, nullptr, nullptr),
              CAIRN_OK)
        << Why();
  }

  std::vector<uint32_t> Tokens() const {
    std::vector<uint32_t> tokens(cairn_session_tokens(session_));
    size_t count = 0;
    EXPECT_EQ(cairn_session_read_tokens(session_, 0, tokens.data(), tokens.size(), &count),
              CAIRN_OK)
        << Why();
    EXPECT_EQ(count, tokens.size());
    return tokens;
  }

  std::vector<std::string> SessionNames() const {
    std::vector<std::string> names;
    const auto keep = [](void* user, const char* name, uint64_t) {
      static_cast<std::vector<std::string>*>(user)->push_back(name);
      return 0;
    };
    EXPECT_EQ(cairn_store_sessions(store_, keep, &names), CAIRN_OK) << Why();
    return names;
  }

  std::filesystem::path directory_;
  cairn_store* store_ = nullptr;
  cairn_model* model_ = nullptr;
  cairn_session* session_ = nullptr;
};

}  // namespace cairn::test
