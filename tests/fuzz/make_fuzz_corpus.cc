// make_fuzz_corpus DIR: writes the files that fuzzing starts from, a directory for each target.
// The same program writes the same bytes; what a fuzzer found is kept beside them.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/stored_shape.h"
#include "storage/acknowledged.h"
#include "storage/block_format.h"
#include "storage/block_run.h"
#include "storage/byte_reader.h"
#include "storage/catalog_format.h"
#include "storage/session_file.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/parts_of_catalog.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/sentence_piece_vocabulary.h"
#include "tools/session_profile.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

void Save(const fs::path& directory, const std::string& name, const std::string& bytes) {
  fs::create_directories(directory);
  std::ofstream(directory / name, std::ios::binary) << bytes;
}

void MakeBlocks(const fs::path& to) {
  for (const size_t payload_bytes : {0, 1, 8, 200}) {
    const BlockId id{3, 7, 1, 2};
    std::vector<std::byte> record(payload_bytes + kTrailerBytes, std::byte{0x5a});
    const BlockKey key = EncodeBlockKey(id);
    WriteTrailer({key.data(), key.size()}, kBlockMagic, record);
    std::string bytes(key.data(), key.size());
    bytes.append(reinterpret_cast<const char*>(record.data()), record.size());
    Save(to, "payload-" + std::to_string(payload_bytes), bytes);
  }
  const BlockRun run{.first = {3, 7, 1, 2},
                     .segment = 1,
                     .offset = 4096,
                     .blocks = 12,
                     .payload_bytes = 200,
                     .layers = 2,
                     .heads = 3};
  const std::string value = EncodeRun(run);
  Save(to, "run", RunKey(run.first).substr(2) + value.substr(0, value.size() - kTrailerBytes));
}

void MakeAcknowledged(const fs::path& to) {
  fs::create_directories(to);
  WriteAcknowledged((to / "mark").string(), {1000, 5, 4096, 9, 12345});
  Save(to, "empty", "");
  Save(to, "zeros", std::string(sizeof(Acknowledged) + kTrailerBytes, '\0'));
}

std::string CatalogInput(CatalogPart kind, uint8_t place, std::string_view body) {
  return EncodePart(static_cast<uint8_t>(kind), place, body);
}

SessionRecord Record(uint64_t id) {
  return {.id = id,
          .properties = R"({"a":1})",
          .tokens = 3,
          .rows = 3,
          .tail_bytes = 5,
          .ranges = {{1, 0, 2}, {2, 1, 1}},
          .commits = 1};
}

SummarySection Section(uint64_t extent, uint32_t first, uint32_t count) {
  return {.type = 1,
          .version = 1,
          .extent = extent,
          .first = first,
          .count = count,
          .bytes = std::string(count * size_t{4}, 's')};
}

void MakeCatalogs(const fs::path& to) {
  const std::string format = CatalogInput(CatalogPart::kFormat, 0, EncodeFormat(1));
  const std::string next = CatalogInput(CatalogPart::kNext, 0, EncodeNext({3, 3}));
  std::string store = format + next;
  Save(to, "empty-store", store);
  store += CatalogInput(CatalogPart::kSession, 1, EncodeSession(Record(1)));
  store += CatalogInput(CatalogPart::kTokens, 1, EncodeTokens({10, 20, 30}));
  store += CatalogInput(CatalogPart::kTail, 1, "tail.");
  store += CatalogInput(CatalogPart::kSection, 1, EncodeSection(Section(1, 0, 2)));
  store += CatalogInput(CatalogPart::kSection, 2 + 8, EncodeSection(Section(2, 1, 1)));
  Save(to, "one-session", store);
  store += CatalogInput(CatalogPart::kSession, 2, EncodeSession(Record(2)));
  store += CatalogInput(CatalogPart::kUnsealed, 3, "no trailer");
  store += EncodePart(99, 4, "t/xx and more");
  Save(to, "damaged", store);
}

std::string SessionPart(const BlockGrid& grid, uint64_t blocks) {
  std::string body;
  for (const uint64_t number :
       {uint64_t{3}, uint64_t{3}, uint64_t{5}, uint64_t{1}, blocks, uint64_t{grid.payload_bytes}}) {
    AppendBytes(body, number);
  }
  AppendBytes(body, grid.layers);
  AppendBytes(body, grid.heads);
  AppendBytes(body, uint32_t{1});
  return body + "n" + R"({"p":0})";
}

struct FilePart {
  PartKind kind;
  std::string body;
};

std::vector<FilePart> FileParts() {
  const BlockGrid grid{2, 2, 8};
  std::string section, blocks;
  for (const uint16_t number : {1, 1, 0, 0}) AppendBytes(section, number);
  AppendBytes(section, uint32_t{0});
  AppendBytes(section, uint32_t{2});
  AppendBytes(blocks, uint32_t{0});
  AppendBytes(blocks, uint32_t{2});
  return {{PartKind::kSession, SessionPart(grid, 2)},
          {PartKind::kTokens, EncodeTokens({1, 2, 3})},
          {PartKind::kTail, "tail."},
          {PartKind::kSection, section + "aabb"},
          {PartKind::kBlocks, blocks + std::string(2 * grid.bytes(), 'p')}};
}

Status MakeSessionFiles(const fs::path& to) {
  fs::create_directories(to);
  CAIRN_TRY(SessionFileWriter writer, SessionFileWriter::Create((to / "file").string()));
  std::string parts = "P";
  for (const auto& [kind, body] : FileParts()) {
    CAIRN_TRY(writer.Add(kind, body));
    parts += EncodePart(static_cast<uint8_t>(kind), 0, body);
  }
  CAIRN_TRY(writer.Finish());
  Save(to, "parts", parts);
  Save(to, "parts-empty-session",
       "P" + EncodePart(1, 0, SessionPart({1, 1, 16}, 0)) +
           EncodePart(2, 0, EncodeTokens({1, 2, 3})) + EncodePart(3, 0, "tail."));
  return Ok();
}

std::string U32(uint32_t value) {
  std::string bytes;
  AppendBytes(bytes, value);
  return bytes;
}

std::string U64(uint64_t value) {
  std::string bytes;
  AppendBytes(bytes, value);
  return bytes;
}

void AddKinds(GgufWriter& writer) {
  writer.AddUint8("u8", 8);
  writer.AddInt64("i64", -64);
  writer.AddFloat64("f64", 6.4);
  writer.AddBool("flag", true);
  writer.AddString("text", "some");
  writer.AddInt32s("numbers", {1, -2, 3});
  writer.AddFloat32s("floats", {0.5f, 2.0f});
  writer.AddStrings("texts", {"a", "", "bc"});
  // An array of two arrays of one u8 each.
  writer.AddRaw("nested", 9, U32(9) + U64(2) + U32(0) + U64(1) + "a" + U32(0) + U64(1) + "b");
}

/// A model of one layer, two heads of 4 and 16 words.
void AddModel(GgufWriter& writer) {
  writer.AddString("general.architecture", "llama");
  const std::vector<std::pair<const char*, uint32_t>> numbers = {
      {"block_count", 1},         {"context_length", 32},      {"embedding_length", 8},
      {"feed_forward_length", 8}, {"attention.head_count", 2}, {"attention.head_count_kv", 1},
      {"rope.dimension_count", 4}};
  for (const auto& [key, value] : numbers) writer.AddUint32("llama." + std::string(key), value);
  writer.AddFloat32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  const auto add = [&](const std::string& name, const std::vector<uint64_t>& dims) {
    const uint64_t count = dims[0] * (dims.size() > 1 ? dims[1] : 1);
    writer.AddTensor(name, dims.size() > 1 ? GgmlType::kF16 : GgmlType::kF32, dims,
                     std::vector<float>(count, 0.25f));
  };
  add("token_embd.weight", {8, 16});
  add("output_norm.weight", {8});
  add("blk.0.attn_norm.weight", {8});
  add("blk.0.ffn_norm.weight", {8});
  add("blk.0.attn_q.weight", {8, 8});
  add("blk.0.attn_k.weight", {8, 4});
  add("blk.0.attn_v.weight", {8, 4});
  add("blk.0.attn_output.weight", {8, 8});
  add("blk.0.ffn_gate.weight", {8, 8});
  add("blk.0.ffn_up.weight", {8, 8});
  add("blk.0.ffn_down.weight", {8, 8});
}

void MakeGgufs(const fs::path& to) {
  GgufWriter kinds;
  AddKinds(kinds);
  kinds.AddTensor("q", GgmlType::kQ8_0, {32, 2}, std::vector<float>(64, 1.0f));
  kinds.AddRawTensor("k", static_cast<uint32_t>(GgmlType::kQ4_K), {256}, std::string(144, 'k'));
  Save(to, "kinds", kinds.Bytes());
  GgufWriter model;
  AddModel(model);
  Save(to, "model", model.Bytes());
}

void MakeAdapters(const fs::path& to) {
  for (const bool landmark : {false, true}) {
    GgufWriter writer;
    writer.AddString("general.type", "adapter");
    writer.AddString("adapter.type", "lora");
    writer.AddFloat32("adapter.lora.alpha", 4.0f);
    const std::vector<float> ones(48, 1.0f);
    writer.AddTensor("blk.0.attn_q.weight.lora_a", GgmlType::kF32, {8, 2},
                     {ones.begin(), ones.begin() + 16});
    writer.AddTensor("blk.0.attn_q.weight.lora_b", GgmlType::kF16, {2, 16},
                     {ones.begin(), ones.begin() + 32});
    if (landmark) {
      writer.AddUint32("cairn.landmark.regular_tokens", 15);
      writer.AddBool("cairn.landmark.in_loss", false);
      writer.AddString("cairn.landmark.selection", "per_chunk");
      writer.AddUint32("cairn.landmark.trained_context", 256);
      writer.AddTensor("cairn.landmark.embedding", GgmlType::kF32, {8},
                       {ones.begin(), ones.begin() + 8});
      writer.AddTensor("token_embd.weight.lora_a", GgmlType::kF32, {2, 24}, ones);
      writer.AddTensor("token_embd.weight.lora_b", GgmlType::kF32, {2, 8},
                       {ones.begin(), ones.begin() + 16});
    }
    Save(to, landmark ? "landmark" : "plain", writer.Bytes());
  }
}

void MakeTokenizers(const fs::path& to) {
  for (const char* pre : {"smollm", "llama-bpe"}) {
    GgufWriter writer;
    writer.AddString("tokenizer.ggml.model", "gpt2");
    writer.AddString("tokenizer.ggml.pre", pre);
    writer.AddStrings("tokenizer.ggml.tokens",
                      {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "a", "b", "ab", "4", "2",
                       "\u0120", "\u010a", "t", "h", "e", "th", "the", "user", "aa", "aaaa"});
    std::vector<int32_t> types(18, 1);
    for (size_t control = 0; control < 3; ++control) types[control] = 3;
    writer.AddInt32s("tokenizer.ggml.token_type", types);
    writer.AddStrings("tokenizer.ggml.merges", {"a b", "t h", "th e", "a a", "aa aa"});
    writer.AddUint32("tokenizer.ggml.bos_token_id", 1);
    writer.AddUint32("tokenizer.ggml.eos_token_id", 2);
    writer.AddBool("tokenizer.ggml.add_bos_token", false);
    writer.AddString("tokenizer.chat_template",
                     "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
                     "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}");
    Save(to, pre, writer.Bytes());
  }
}

void MakeSentencePieces(const fs::path& to) {
  for (const bool inst : {true, false}) {
    auto pieces = SentencePieceVocabulary::Of({"\u2581", "a", "b", "ab",
                                               "\u2581"
                                               "the",
                                               "t", "h", "e", "the", "aa", "aaaa", "\u00e9", "he"});
    pieces.Add("[x]", 4, 0);
    GgufWriter writer;
    pieces.AddTo(writer);
    writer.AddString(
        "tokenizer.chat_template",
        inst ? "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
               "{{ ' ' + content + ' ' + eos_token }}"
             : "{{ '<|user|>\n' + content + eos_token }}\n{{ '<|assistant|>\n' + content "
               "+ eos_token }}\n{{ '<|assistant|>' }}\n");
    Save(to, inst ? "sentencepiece-inst" : "sentencepiece-zephyr", writer.Bytes());
  }
}

void MakeProfiles(const fs::path& to) {
  SessionProfile profile;
  profile.model_path = "m.gguf";
  profile.model_fingerprint = "feed";
  profile.adapters.push_back({"a.gguf", "beef", 0.5});
  profile.ingests.push_back({"hash", "book.txt", 0, 0, 1000, true, true});
  profile.ingests.push_back({"other", "more.txt", 50, 1000, 30, false, false});
  Save(to, "profile", profile.ToJson());
  SessionShape shape;
  shape.layers = 2;
  shape.query_heads = 4;
  shape.kv_heads = 2;
  shape.block.head_dim = 16;
  shape.block.block_rows = 16;
  shape.representatives = 1;
  const std::string described = DescribeShape(shape);
  Save(to, "shape", described);
  Save(to, "stored", ToJson({described, std::string(32, '0'), profile.ToJson()}));
  auto older = nlohmann::json::parse(profile.ToJson());
  older["adapter"] = older["adapters"][0];
  older.erase("adapters");
  Save(to, "older-profile", older.dump());
}

int Main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "make_fuzz_corpus DIR\n");
    return 2;
  }
  const fs::path to = argv[1];
  MakeBlocks(to / "block");
  MakeAcknowledged(to / "acknowledged");
  MakeCatalogs(to / "catalog");
  MakeGgufs(to / "gguf");
  MakeAdapters(to / "adapter");
  MakeTokenizers(to / "tokenizer");
  MakeSentencePieces(to / "tokenizer");
  MakeProfiles(to / "profile");
  const Status files = MakeSessionFiles(to / "session_file");
  if (!files) std::fprintf(stderr, "%s\n", files.error().message.c_str());
  return files ? 0 : 1;
}

}  // namespace
}  // namespace cairn::test

int main(int argc, char** argv) { return cairn::test::Main(argc, argv); }
