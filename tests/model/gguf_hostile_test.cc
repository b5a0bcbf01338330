// Files made to break a reader: cut, flipped, and built with impossible headers. Each must end in
// an error sentence (or, for flips that do no harm, open), never in a crash or a huge allocation.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>

#include "model/adapter.h"
#include "model/chat_template.h"
#include "model/gguf.h"
#include "model/gguf_parser.h"
#include "model/tokenizer.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/tiny_model.h"

namespace cairn {
namespace {

using test::GgufWriter;
using test::ScratchDirectory;

constexpr uint64_t kHuge = 1ull << 62;

std::string ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

template <class T>
std::string Raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

std::string RawString(std::string_view text) {
  return Raw<uint64_t>(text.size()) + std::string(text);
}

/// Opens the bytes as a file and uses whatever opens. Returns the error's message, empty if none.
class Victim {
 public:
  std::string Use(std::string_view bytes) {
    const std::string path = scratch_.File("victim.gguf");
    EXPECT_TRUE(test::WriteFileBytes(path, bytes));
    UseAdapter(path);
    const Result<GgufFile> file = GgufFile::Open(path);
    if (!file) return Checked(file.error(), path);
    EXPECT_EQ(file.value().Fingerprint().size(), 32u);
    for (const GgufTensor& tensor : file.value().tensors()) {
      const Result<std::vector<float>> values = file.value().ReadFloats(tensor.name);
      if (!values) Checked(values.error(), path);
    }
    const Result<Tokenizer> tokenizer = Tokenizer::FromGguf(file.value());
    if (!tokenizer) {
      Checked(tokenizer.error(), path);
      return {};
    }
    for (const uint32_t id : tokenizer.value().Encode("The theory \xff of 42.")) {
      EXPECT_LT(id, tokenizer.value().vocab_size());
    }
    const Result<ChatTemplate> chat = ChatTemplate::FromGguf(file.value(), tokenizer.value());
    if (!chat) Checked(chat.error(), path);
    return {};
  }

 private:
  static std::string Checked(const Error& error, const std::string& path) {
    EXPECT_NE(error.message.find(path), std::string::npos) << error.message;
    EXPECT_LT(error.message.size(), 1000u) << error.message;
    return error.message;
  }

  static void UseAdapter(const std::string& path) {
    const Result<Adapter> adapter = Adapter::Open(path);
    if (!adapter) {
      Checked(adapter.error(), path);
      return;
    }
    std::vector<float> weights(16 * 16);
    for (const std::string& name : adapter.value().targets()) {
      const Status status = adapter.value().AddTo(name, weights.data(), 16, 16);
      if (!status) Checked(status.error(), path);
    }
  }

  ScratchDirectory scratch_;
};

/// A model whose file is nearly all header.
std::string SmallestModel() {
  const ScratchDirectory scratch;
  test::TinyModelOptions options;
  options.layers = 1;
  options.heads = 1;
  options.kv_heads = 1;
  options.head_dim = 2;
  options.ffn = 2;
  EXPECT_TRUE(test::WriteTinyModel(scratch.File("m"), options));
  return ReadBytes(scratch.File("m"));
}

std::string SmallestAdapter() {
  const ScratchDirectory scratch;
  test::TinyModelOptions options;
  options.layers = 1;
  options.heads = 1;
  options.kv_heads = 1;
  options.head_dim = 16;
  options.ffn = 16;
  EXPECT_TRUE(test::WriteTinyAdapter(scratch.File("a"), options, {}));
  return ReadBytes(scratch.File("a"));
}

TEST(GgufHostileTest, EveryTruncationIsAnError) {
  GgufWriter writer;
  writer.AddUint32("answer", 42);
  writer.AddStrings("texts", {"one", "two"});
  writer.AddInt32s("numbers", {1, 2, 3});
  writer.AddBool("flag", true);
  writer.AddTensor("a", GgmlType::kF16, {32, 2}, std::vector<float>(64, 1.0f));
  writer.AddTensor("b", GgmlType::kF32, {8}, std::vector<float>(8, 1.0f));
  const std::string bytes = writer.Bytes();
  Victim victim;
  ASSERT_EQ(victim.Use(bytes), "");
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_NE(victim.Use(bytes.substr(0, length)), "") << "cut to " << length;
  }
}

void FlipRandomly(const std::string& bytes, size_t span, int rounds, uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  Victim victim;
  ASSERT_EQ(victim.Use(bytes), "");
  for (int round = 0; round < rounds && !testing::Test::HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    std::string flipped = bytes;
    for (uint64_t flips = 1 + random() % 4; flips > 0; --flips) {
      char& byte = flipped[random() % span];
      byte = static_cast<char>(byte ^ (1 + random() % 255));
    }
    victim.Use(flipped);
  }
}

TEST(GgufHostileTest, FlippedBytesOfAModel) {
  const std::string bytes = SmallestModel();
  FlipRandomly(bytes, bytes.size(), 1000, 20261);
  FlipRandomly(bytes, 200, 500, 20262);
}

TEST(GgufHostileTest, FlippedBytesOfAnAdapter) {
  const std::string bytes = SmallestAdapter();
  FlipRandomly(bytes, bytes.size(), 500, 20263);
  FlipRandomly(bytes, 1000, 500, 20264);
}

TEST(GgufHostileTest, GarbageIsNotGguf) {
  std::mt19937_64 random(20265);
  Victim victim;
  for (int round = 0; round < 200; ++round) {
    std::string bytes(random() % 300, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    EXPECT_NE(victim.Use(bytes).find("not a GGUF file"), std::string::npos);
    EXPECT_NE(victim.Use("GGUF" + Raw<uint32_t>(3) + bytes), "");
  }
}

struct Case {
  const char* what;
  std::function<std::string()> bytes;
  const char* message;  ///< part of the error's sentence
};

std::string Header(uint64_t tensors, uint64_t keys, const std::string& rest) {
  return "GGUF" + Raw<uint32_t>(3) + Raw(tensors) + Raw(keys) + rest;
}

std::string WithValue(GgufKind kind, const std::string& value) {
  GgufWriter writer;
  writer.AddRaw("key", static_cast<uint32_t>(kind), value);
  return writer.Bytes();
}

std::string ArrayValue(GgufKind kind, uint64_t count) {
  return Raw(static_cast<uint32_t>(kind)) + Raw(count) + std::string(64, '\0');
}

/// One tensor-list entry as given, with 4 KiB of data behind.
std::string WithTensor(const std::string& name, const std::vector<uint64_t>& dims, uint32_t type,
                       uint64_t offset) {
  std::string entry = RawString(name) + Raw(static_cast<uint32_t>(dims.size()));
  for (const uint64_t dim : dims) entry += Raw(dim);
  return Header(1, 0, entry + Raw(type) + Raw(offset) + std::string(4096, '\0'));
}

std::string WithAlignment(uint32_t alignment) {
  GgufWriter writer;
  writer.AddUint32("general.alignment", alignment);
  writer.AddTensor("a", GgmlType::kF32, {8}, std::vector<float>(8));
  return writer.Bytes();
}

std::string NestedArrays(int depth) {
  std::string value;
  for (int i = 0; i < depth; ++i) value += Raw(static_cast<uint32_t>(GgufKind::kArray)) + Raw(1ull);
  return WithValue(GgufKind::kArray, value + ArrayValue(GgufKind::kUint8, 1));
}

std::string TwoTensors(uint64_t second_offset, const std::string& second_name) {
  const auto entry = [](const std::string& name, uint64_t offset) {
    return RawString(name) + Raw<uint32_t>(1) + Raw<uint64_t>(16) + Raw<uint32_t>(0) + Raw(offset);
  };
  return Header(2, 0, entry("a", 0) + entry(second_name, second_offset) + std::string(4096, '\0'));
}

const std::vector<Case>& HeaderCases() {
  static const std::vector<Case> cases = {
      {"version 1", [] { return "GGUF" + Raw<uint32_t>(1) + std::string(64, '\0'); }, "version 1"},
      {"version 99", [] { return "GGUF" + Raw<uint32_t>(99) + std::string(64, '\0'); },
       "version 99"},
      {"big-endian", [] { return "GGUF" + Raw<uint32_t>(3u << 24) + std::string(64, '\0'); },
       "big-endian"},
      {"huge tensor count", [] { return Header(kHuge, 0, ""); }, "tensors"},
      {"huge key count", [] { return Header(0, kHuge, ""); }, "metadata keys"},
      {"many keys, none there", [] { return Header(0, 60000, ""); }, "a metadata key"},
      {"many tensors, none there", [] { return Header(60000, 0, ""); }, "tensor's name"},
      {"huge key", [] { return Header(0, 1, Raw(kHuge)); }, "the most is 65535"},
      {"huge string", [] { return WithValue(GgufKind::kString, Raw(kHuge)); }, "'key'"},
      {"string of all ones", [] { return WithValue(GgufKind::kString, Raw(~0ull)); }, "'key'"},
      {"huge array",
       [] { return WithValue(GgufKind::kArray, ArrayValue(GgufKind::kUint64, kHuge)); },
       "more than the file"},
      {"array of all ones",
       [] { return WithValue(GgufKind::kArray, ArrayValue(GgufKind::kUint8, ~0ull)); },
       "more than the file"},
      {"huge array of strings",
       [] { return WithValue(GgufKind::kArray, ArrayValue(GgufKind::kString, kHuge)); },
       "the file ends inside"},
      {"array of unknown kind",
       [] { return WithValue(GgufKind::kArray, ArrayValue(static_cast<GgufKind>(13), 1)); },
       "value type 13"},
      {"unknown kind", [] { return WithValue(static_cast<GgufKind>(77), "12345678"); },
       "value type 77"},
      {"a truth value of 2", [] { return WithValue(GgufKind::kBool, "\x02"); }, "neither true"},
      {"nested arrays", [] { return NestedArrays(100); }, "deeper than"},
      {"key twice",
       [] {
         GgufWriter writer;
         writer.AddBool("again", true);
         writer.AddBool("again", true);
         return writer.Bytes();
       },
       "'again' is there twice"},
      {"alignment 0", [] { return WithAlignment(0); }, "general.alignment"},
      {"alignment 3", [] { return WithAlignment(3); }, "general.alignment"},
      {"alignment 2^31", [] { return WithAlignment(1u << 31); }, "general.alignment"},
      {"split model",
       [] {
         GgufWriter writer;
         writer.AddUint16("split.count", 3);
         return writer.Bytes();
       },
       "one of 3 parts"},
  };
  return cases;
}

const std::vector<Case>& TensorCases() {
  static const std::vector<Case> cases = {
      {"no dimensions", [] { return WithTensor("t", {}, 0, 0); }, "0 dimensions"},
      {"five dimensions",
       [] {
         return WithTensor("t", {1, 1, 1, 1, 1}, 0, 0);
       },
       "5 dimensions"},
      {"dimension zero",
       [] {
         return WithTensor("t", {4, 0}, 0, 0);
       },
       "dimension 0"},
      {"product overflows",
       [] {
         return WithTensor("t", {1ull << 40, 1ull << 40}, 0, 0);
       },
       "impossible dimension"},
      {"product overflows to zero",
       [] {
         return WithTensor("t", {1ull << 32, 1ull << 32, 1, 1}, 0, 0);
       },
       "impossible dimension"},
      {"bytes overflow", [] { return WithTensor("t", {(1ull << 62) + 1}, 28, 0); },
       "more bytes than can be"},
      {"larger than the file", [] { return WithTensor("t", {1ull << 40}, 0, 0); }, "goes beyond"},
      {"one row too many",
       [] {
         return WithTensor("t", {32, 40}, 0, 0);
       },
       "goes beyond"},
      {"offset beyond", [] { return WithTensor("t", {8}, 0, 1ull << 20); }, "goes beyond"},
      {"offset of all ones", [] { return WithTensor("t", {8}, 0, ~31ull); }, "goes beyond"},
      {"offset not aligned", [] { return WithTensor("t", {8}, 0, 33); }, "multiple of 32"},
      {"unknown type", [] { return WithTensor("t", {32}, 4711, 0); }, "type 4711"},
      {"type without a format", [] { return WithTensor("t", {32}, 4, 0); }, "type 4"},
      {"half a block", [] { return WithTensor("t", {48}, 8, 0); }, "whole blocks of Q8_0"},
      {"long name", [] { return WithTensor(std::string(300, 'n'), {8}, 0, 0); }, "the most is 255"},
      {"name twice", [] { return TwoTensors(64, "a"); }, "'a' is there twice"},
      {"overlap", [] { return TwoTensors(32, "b"); }, "overlap"},
      {"unprintable name", [] { return WithTensor("\n\x1b[31m", {48}, 8, 0); }, "'??[31m'"},
  };
  return cases;
}

TEST(GgufHostileTest, ImpossibleHeaders) {
  Victim victim;
  for (const Case& each : HeaderCases()) {
    const std::string message = victim.Use(each.bytes());
    EXPECT_NE(message.find(each.message), std::string::npos) << each.what << ": " << message;
  }
}

TEST(GgufHostileTest, ImpossibleTensors) {
  Victim victim;
  for (const Case& each : TensorCases()) {
    const std::string message = victim.Use(each.bytes());
    EXPECT_NE(message.find(each.message), std::string::npos) << each.what << ": " << message;
  }
}

TEST(GgufHostileTest, WhatIsNoFileIsNamed) {
  const ScratchDirectory scratch;
  const std::string missing = scratch.File("missing.gguf");
  const Result<GgufFile> none = GgufFile::Open(missing);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Errc::kNotFound);
  EXPECT_NE(none.error().message.find(missing), std::string::npos);

  const Result<GgufFile> directory = GgufFile::Open(scratch.path());
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().code, Errc::kInvalidArgument);
  EXPECT_NE(directory.error().message.find(scratch.path()), std::string::npos);
}

}  // namespace
}  // namespace cairn
