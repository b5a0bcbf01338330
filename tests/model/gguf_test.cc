// GgufFile: what is written comes back, and every kind of wrong question gets an answer in words.
#include "model/gguf.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "tests/support/gguf_writer.h"
#include "tests/support/real_model.h"
#include "tests/support/scratch_directory.h"

namespace cairn {
namespace {

using test::GgufWriter;
using test::ScratchDirectory;

GgufFile OpenOrDie(const std::string& path) {
  Result<GgufFile> file = GgufFile::Open(path);
  EXPECT_TRUE(file) << file.error().message;
  return std::move(file).value();
}

template <class T>
void ExpectError(const Result<T>& result, Errc code, const std::string& part) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, code) << result.error().message;
  EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
}

GgufWriter Everything() {
  GgufWriter writer;
  writer.AddUint8("u8", 200);
  writer.AddInt8("i8", -100);
  writer.AddUint16("u16", 60000);
  writer.AddInt16("i16", -30000);
  writer.AddUint32("u32", 4000000000u);
  writer.AddInt32("i32", -2000000000);
  writer.AddUint64("u64", std::numeric_limits<uint64_t>::max());
  writer.AddInt64("i64", 7);
  writer.AddFloat32("f32", 0.5f);
  writer.AddFloat64("f64", 1e300);
  writer.AddBool("yes", true);
  writer.AddBool("no", false);
  writer.AddString("text",
                   "Gr\xc3\xbc\xc3\x9f"
                   "e");
  writer.AddString("empty", "");
  writer.AddStrings("texts", {"a", "", "ccc"});
  writer.AddInt32s("ints", {1, -2, 3});
  writer.AddUint32s("uints", {1, 4000000000u});
  writer.AddFloat32s("floats", {0.25f, -8.0f});
  return writer;
}

TEST(GgufTest, MetadataComesBack) {
  const ScratchDirectory scratch;
  ASSERT_TRUE(Everything().Write(scratch.File("a.gguf")));
  const GgufFile file = OpenOrDie(scratch.File("a.gguf"));
  EXPECT_EQ(file.Uint("u8").value(), 200u);
  EXPECT_EQ(file.Uint("u16").value(), 60000u);
  EXPECT_EQ(file.Uint("u32").value(), 4000000000u);
  EXPECT_EQ(file.Uint("u64").value(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(file.Uint("i64").value(), 7u);
  EXPECT_EQ(file.Float("f32").value(), 0.5);
  EXPECT_EQ(file.Float("f64").value(), 1e300);
  EXPECT_EQ(file.Float("i8").value(), -100.0);
  EXPECT_EQ(file.Float("i16").value(), -30000.0);
  EXPECT_EQ(file.Float("i32").value(), -2e9);
  EXPECT_TRUE(file.Bool("yes").value());
  EXPECT_FALSE(file.Bool("no").value());
  EXPECT_EQ(file.String("text").value(),
            "Gr\xc3\xbc\xc3\x9f"
            "e");
  EXPECT_EQ(file.String("empty").value(), "");
  EXPECT_EQ(file.Strings("texts").value(), (std::vector<std::string>{"a", "", "ccc"}));
  EXPECT_EQ(file.Ints("ints").value(), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(file.Ints("uints").value(), (std::vector<int64_t>{1, 4000000000}));
  EXPECT_EQ(file.Floats("floats").value(), (std::vector<float>{0.25f, -8.0f}));
  EXPECT_EQ(file.Floats("ints").value(), (std::vector<float>{1, -2, 3}));
  EXPECT_TRUE(file.Has("u8"));
  EXPECT_FALSE(file.Has("u9"));
  EXPECT_TRUE(file.tensors().empty());
}

TEST(GgufTest, WrongQuestionsNameFileAndKey) {
  const ScratchDirectory scratch;
  const std::string path = scratch.File("a.gguf");
  ASSERT_TRUE(Everything().Write(path));
  const GgufFile file = OpenOrDie(path);
  ExpectError(file.Uint("missing"), Errc::kNotFound, "missing");
  ExpectError(file.Uint("missing"), Errc::kNotFound, path);
  ExpectError(file.Uint("i8"), Errc::kMismatch, "'i8'");
  ExpectError(file.Uint("i8"), Errc::kMismatch, path);
  ExpectError(file.Uint("text"), Errc::kMismatch, "string");
  ExpectError(file.Uint("f32"), Errc::kMismatch, "float");
  ExpectError(file.Uint("ints"), Errc::kMismatch, "array of");
  ExpectError(file.Float("yes"), Errc::kMismatch, "truth value");
  ExpectError(file.Bool("u8"), Errc::kMismatch, "'u8'");
  ExpectError(file.String("texts"), Errc::kMismatch, "array of string");
  ExpectError(file.Strings("text"), Errc::kMismatch, "'text'");
  ExpectError(file.Ints("floats"), Errc::kMismatch, "'floats'");
  ExpectError(file.Floats("texts"), Errc::kMismatch, "'texts'");
}

TEST(GgufTest, FallbacksServeOnlyMissingKeys) {
  const ScratchDirectory scratch;
  ASSERT_TRUE(Everything().Write(scratch.File("a.gguf")));
  const GgufFile file = OpenOrDie(scratch.File("a.gguf"));
  EXPECT_EQ(file.UintOr("missing", 5).value(), 5u);
  EXPECT_EQ(file.UintOr("u8", 5).value(), 200u);
  EXPECT_EQ(file.FloatOr("missing", 2.5).value(), 2.5);
  EXPECT_EQ(file.FloatOr("f32", 2.5).value(), 0.5);
  EXPECT_TRUE(file.BoolOr("missing", true).value());
  EXPECT_FALSE(file.BoolOr("no", true).value());
  EXPECT_EQ(file.StringOr("missing", "x").value(), "x");
  EXPECT_EQ(file.StringOr("empty", "x").value(), "");
  ExpectError(file.UintOr("text", 5), Errc::kMismatch, "'text'");
}

TEST(GgufTest, TensorsComeBack) {
  const ScratchDirectory scratch;
  GgufWriter writer;
  std::vector<float> values(64);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) - 31.5f;
  writer.AddTensor("vector", GgmlType::kF32, {3}, {1, 2, 3});
  writer.AddTensor("halves", GgmlType::kF16, {32, 2}, values);
  writer.AddTensor("bfloats", GgmlType::kBF16, {2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  writer.AddTensor("quantised", GgmlType::kQ8_0, {32, 2}, values);
  ASSERT_TRUE(writer.Write(scratch.File("t.gguf")));
  const GgufFile file = OpenOrDie(scratch.File("t.gguf"));
  ASSERT_EQ(file.tensors().size(), 4u);
  const GgufTensor* halves = file.Find("halves");
  ASSERT_NE(halves, nullptr);
  EXPECT_EQ(halves->type, GgmlType::kF16);
  EXPECT_EQ(halves->dims, (std::vector<uint64_t>{32, 2}));
  EXPECT_EQ(halves->RowLength(), 32u);
  EXPECT_EQ(halves->Rows(), 2u);
  EXPECT_EQ(halves->bytes, 128u);
  EXPECT_EQ(file.Find("bfloats")->Rows(), 4u);
  EXPECT_EQ(file.ReadFloats("halves").value(), values);
  EXPECT_EQ(file.ReadFloats("vector").value(), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(file.ReadFloats("bfloats").value(), (std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}));
  const std::vector<float> read = file.ReadFloats("quantised").value();
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(read[i], values[i], 31.5f / 127) << i;
  EXPECT_EQ(file.Find("none"), nullptr);
  ExpectError(file.ReadFloats("none"), Errc::kNotFound, "'none'");
}

TEST(GgufTest, PointersOutliveAMove) {
  const ScratchDirectory scratch;
  GgufWriter writer;
  writer.AddTensor("a", GgmlType::kF32, {1}, {42});
  ASSERT_TRUE(writer.Write(scratch.File("t.gguf")));
  GgufFile file = OpenOrDie(scratch.File("t.gguf"));
  const GgufTensor* tensor = file.Find("a");
  const GgufFile moved = std::move(file);
  EXPECT_EQ(moved.Find("a"), tensor);
  float value = 0;
  std::memcpy(&value, tensor->data, sizeof(value));
  EXPECT_EQ(value, 42.0f);
}

TEST(GgufTest, TypesThatCannotBeReadAreNamedWhenAskedFor) {
  const ScratchDirectory scratch;
  const std::string path = scratch.File("t.gguf");
  GgufWriter writer;
  writer.AddRawTensor("odd", static_cast<uint32_t>(GgmlType::kIQ2_XS), {256},
                      std::string(74, '\0'));
  ASSERT_TRUE(writer.Write(path));
  const GgufFile file = OpenOrDie(path);
  ExpectError(file.ReadFloats("odd"), Errc::kUnsupported, "IQ2_XS");
  ExpectError(file.ReadFloats("odd"), Errc::kUnsupported, "'odd'");
  ExpectError(file.ReadFloats("odd"), Errc::kUnsupported, path);
}

std::string FingerprintOf(const ScratchDirectory& scratch, const std::string& bytes) {
  EXPECT_TRUE(test::WriteFileBytes(scratch.File("f.gguf"), bytes));
  return OpenOrDie(scratch.File("f.gguf")).Fingerprint();
}

TEST(GgufTest, FingerprintSeesHeaderAndSamples) {
  const ScratchDirectory scratch;
  GgufWriter writer;
  writer.AddString("name", "one");
  writer.AddTensor("big", GgmlType::kF32, {8192}, std::vector<float>(8192, 1.0f));
  std::string bytes = writer.Bytes();
  const size_t data = bytes.size() - 4 * 8192;
  const std::string first = FingerprintOf(scratch, bytes);
  EXPECT_EQ(first.size(), 32u);
  EXPECT_EQ(FingerprintOf(scratch, bytes), first);

  for (const size_t at :
       {bytes.find("one"), data, data + 4095, bytes.size() - 4096, bytes.size() - 1}) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_NE(FingerprintOf(scratch, changed), first) << at;
  }
  EXPECT_NE(FingerprintOf(scratch, bytes + "x"), first);
}

TEST(GgufTest, ReadsVersionTwo) {
  const ScratchDirectory scratch;
  std::string bytes = Everything().Bytes();
  bytes[4] = 2;
  ASSERT_TRUE(test::WriteFileBytes(scratch.File("v2.gguf"), bytes));
  EXPECT_EQ(OpenOrDie(scratch.File("v2.gguf")).Uint("u8").value(), 200u);
}

TEST(GgufTest, ReadsARealModel) {
  const std::string path = test::RealModelPath();
  if (path.empty()) GTEST_SKIP() << test::kNoRealModel;
  const GgufFile file = OpenOrDie(path);
  EXPECT_EQ(file.String("general.architecture").value(), "llama");
  EXPECT_EQ(file.Uint("llama.block_count").value(), 30u);
  EXPECT_EQ(file.Strings("tokenizer.ggml.tokens").value().size(), 49152u);
  EXPECT_EQ(file.tensors().size(), 272u);
  const GgufTensor* embedding = file.Find("token_embd.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(embedding->dims, (std::vector<uint64_t>{576, 49152}));
}

}  // namespace
}  // namespace cairn
