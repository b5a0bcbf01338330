// ChatTemplate: the shapes as models publish them, default system prompts, bos, and refusals.
#include "model/chat_template.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/gguf_writer.h"
#include "tests/support/real_model.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/sentence_piece_vocabulary.h"
#include "tests/support/tiny_model.h"

namespace cairn {
namespace {

using test::GgufWriter;
using test::ScratchDirectory;

struct Loaded {
  Tokenizer tokenizer;
  Result<ChatTemplate> chat;
};

Loaded Load(const std::string& path) {
  Result<GgufFile> file = GgufFile::Open(path);
  EXPECT_TRUE(file) << file.error().message;
  Result<Tokenizer> tokenizer = Tokenizer::FromGguf(file.value());
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  Result<ChatTemplate> chat = ChatTemplate::FromGguf(file.value(), tokenizer.value());
  return {std::move(tokenizer).value(), std::move(chat)};
}

/// Tokens as text: control tokens as the vocabulary spells them, the others decoded.
std::string Show(const Tokenizer& tokenizer, const std::vector<uint32_t>& ids) {
  std::string text;
  for (const uint32_t id : ids) {
    if (tokenizer.IsControl(id)) {
      text += tokenizer.Text(id);
    } else {
      text += tokenizer.Decode(id);
    }
  }
  return text;
}

/// A model file of nothing but control tokens, letters, and a template.
class TemplateFile {
 public:
  explicit TemplateFile(std::string pre = "gpt-2") {
    writer_.AddString("tokenizer.ggml.model", "gpt2");
    writer_.AddString("tokenizer.ggml.pre", pre);
    std::vector<std::string> tokens = {
        "<|im_start|>",      "<|im_end|>", "<|eot_id|>", "<|start_header_id|>",
        "<|end_header_id|>", "<|bos|>",    "\xc4\x8a",   "\xc4\xa0"};
    std::vector<int32_t> types(6, 3);
    for (char c = '!'; c <= '~'; ++c) tokens.emplace_back(1, c);
    types.resize(tokens.size(), 1);
    writer_.AddStrings("tokenizer.ggml.tokens", tokens);
    writer_.AddInt32s("tokenizer.ggml.token_type", types);
    writer_.AddStrings("tokenizer.ggml.merges", {});
    writer_.AddUint32("tokenizer.ggml.bos_token_id", 5);
    writer_.AddUint32("tokenizer.ggml.eos_token_id", 2);
  }

  Loaded With(const std::string& source) {
    const ScratchDirectory scratch;
    GgufWriter writer = writer_;
    writer.AddString("tokenizer.chat_template", source);
    EXPECT_TRUE(writer.Write(scratch.File("t.gguf")));
    return Load(scratch.File("t.gguf"));
  }

 private:
  GgufWriter writer_;
};

TEST(ChatTemplateTest, ChatMl) {
  const Loaded loaded = TemplateFile().With(
      "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\\n' + m['content'] + "
      "'<|im_end|>' + '\\n'}}{% endfor %}");
  ASSERT_TRUE(loaded.chat) << loaded.chat.error().message;
  const ChatTemplate& chat = loaded.chat.value();
  EXPECT_EQ(Show(loaded.tokenizer, chat.Begin()), "");
  EXPECT_EQ(Show(loaded.tokenizer, chat.UserOpen()), "<|im_start|>user\n");
  EXPECT_EQ(Show(loaded.tokenizer, chat.AnswerClose()), "<|im_end|>\n");
  EXPECT_EQ(Show(loaded.tokenizer, chat.AssistantOpen()), "<|im_start|>assistant\n");
  // A model may end its turn by the other family's word, or as its text does.
  EXPECT_TRUE(loaded.tokenizer.IsEnd(1));
  EXPECT_TRUE(loaded.tokenizer.IsEnd(2));
  EXPECT_FALSE(loaded.tokenizer.IsEnd(0));
  EXPECT_FALSE(loaded.tokenizer.IsEnd(6));
}

TEST(ChatTemplateTest, Llama3) {
  const Loaded loaded =
      TemplateFile("llama-bpe")
          .With(
              "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ "
              "message['content'] | trim + '<|eot_id|>' %}{{ bos_token + content }}");
  ASSERT_TRUE(loaded.chat) << loaded.chat.error().message;
  const ChatTemplate& chat = loaded.chat.value();
  EXPECT_EQ(Show(loaded.tokenizer, chat.Begin()), "<|bos|>");
  EXPECT_EQ(Show(loaded.tokenizer, chat.UserOpen()),
            "<|start_header_id|>user<|end_header_id|>\n\n");
  EXPECT_EQ(Show(loaded.tokenizer, chat.AnswerClose()), "<|eot_id|>");
  EXPECT_EQ(Show(loaded.tokenizer, chat.AssistantOpen()),
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

struct SystemCase {
  const char* source;
  const char* prompt;
};

TEST(ChatTemplateTest, DefaultSystemPrompt) {
  const std::vector<SystemCase> cases = {
      {"{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}", "Be kind."},
      {"{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}", "Be kind."},
      {"{{ \"<|im_start|>system\\nDon't \\\"shout\\\".\\n<|im_end|>\\n\" }}", "Don't \"shout\".\n"},
      {"{{ '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}", ""},
      {"{{ '<|im_start|>system\\n' + content + '<|im_end|>' }}"
       "{{ '<|im_start|>system\\nSecond.<|im_end|>\\n' }}",
       "Second."},
      {"<|im_start|>system\n{{ content }}<|im_end|>", ""},
      {"{{ '<|im_start|>user\\nHi<|im_end|>' }}", ""},
      {"{{ '<|im_start|>system\\n<|im_end|>' }}", ""},
      {"<|im_end|><|im_start|>system\nnever closed", ""},
      {"<|im_end|><|im_start|>system\\", ""},
  };
  for (const SystemCase& each : cases) {
    const Loaded loaded = TemplateFile().With(each.source);
    ASSERT_TRUE(loaded.chat) << each.source;
    const ChatTemplate& chat = loaded.chat.value();
    EXPECT_EQ(chat.default_system(), each.prompt) << each.source;
    const std::string begin = Show(loaded.tokenizer, chat.Begin());
    EXPECT_EQ(begin, chat.default_system().empty()
                         ? ""
                         : "<|im_start|>system\n" + std::string(each.prompt) + "<|im_end|>\n");
  }
}

test::SentencePieceVocabulary ReadVocabulary(std::istream& file) {
  std::string line;
  EXPECT_TRUE(std::getline(file, line));
  const nlohmann::json vocabulary = nlohmann::json::parse(line);
  test::SentencePieceVocabulary made;
  vocabulary["pieces"].get_to(made.pieces);
  vocabulary["types"].get_to(made.types);
  vocabulary["scores"].get_to(made.scores);
  return made;
}

/// The tokens of a conversation that ends with what a user says.
std::vector<uint32_t> Prompt(const Loaded& loaded, const nlohmann::json& messages) {
  const Tokenizer& tokenizer = loaded.tokenizer;
  const ChatTemplate& chat = loaded.chat.value();
  std::vector<uint32_t> ids;
  const auto add = [&](const std::vector<uint32_t>& more) {
    ids.insert(ids.end(), more.begin(), more.end());
  };
  std::string system;
  for (const auto& message : messages) {
    const auto text = message[1].get<std::string>();
    if (message[0] == "system") {
      system = text;
    } else if (message[0] == "user") {
      add(ids.empty() ? chat.Opening() : chat.UserOpen());
      add(chat.UserText(tokenizer, chat.Trimmed(chat.WithSystem(system, text))));
      system.clear();
      add(chat.UserClose());
    } else {
      add(chat.AssistantOpen());
      add(chat.AnswerText(tokenizer, text));
      add(chat.AnswerClose());
    }
  }
  add(chat.AssistantOpen());
  return ids;
}

TEST(ChatTemplateTest, PublishedTemplatesGiveTheReferencesTokens) {
  std::ifstream vocabulary(CAIRN_TEST_DATA "/sentencepiece.jsonl");
  std::ifstream prompts(CAIRN_TEST_DATA "/chat_prompts.jsonl");
  ASSERT_TRUE(vocabulary && prompts) << "tests/data/{sentencepiece,chat_prompts}.jsonl are missing";
  const test::SentencePieceVocabulary pieces = ReadVocabulary(vocabulary);
  int lines = 0;
  for (std::string line; std::getline(prompts, line); ++lines) {
    const nlohmann::json entry = nlohmann::json::parse(line);
    SCOPED_TRACE(entry["name"].get<std::string>() + ": " + entry["text"].get<std::string>());
    test::SentencePieceVocabulary with = pieces;
    for (const auto& control : entry["controls"]) with.Add(control.get<std::string>(), 3, 0);
    GgufWriter writer;
    with.AddTo(writer);
    writer.AddString("tokenizer.chat_template", entry["template"].get<std::string>());
    const ScratchDirectory scratch;
    ASSERT_TRUE(writer.Write(scratch.File("t.gguf")));
    const Loaded loaded = Load(scratch.File("t.gguf"));
    ASSERT_TRUE(loaded.chat) << loaded.chat.error().message;
    const std::vector<uint32_t> ids = Prompt(loaded, entry["messages"]);
    EXPECT_EQ(ids, entry["ids"].get<std::vector<uint32_t>>()) << Show(loaded.tokenizer, ids);
    const bool inst = entry["text"].get<std::string>().find("[INST]") != std::string::npos;
    EXPECT_EQ(loaded.chat.value().answer_has_space(), inst);
  }
  EXPECT_EQ(lines, 20);
}

/// tools/reference/make_chat_templates.py
TEST(ChatTemplateTest, ASystemTurnOfPartsIsWhatJinjaMakesOfIt) {
  std::ifstream file(CAIRN_TEST_DATA "/chat_templates.json");
  ASSERT_TRUE(file) << "tests/data/chat_templates.json is missing";
  const nlohmann::json cases = nlohmann::json::parse(file);
  EXPECT_EQ(cases.size(), 5u);
  for (const nlohmann::json& each : cases) {
    SCOPED_TRACE(each["name"].get<std::string>());
    const Loaded loaded = TemplateFile("llama-bpe").With(each["source"].get<std::string>());
    ASSERT_TRUE(loaded.chat) << loaded.chat.error().message;
    const ChatTemplate& chat = loaded.chat.value();
    std::string said;
    for (const auto* part : {&chat.Begin(), &chat.UserOpen()})
      said += Show(loaded.tokenizer, *part);
    said += "Hi";
    for (const auto* part : {&chat.UserClose(), &chat.AssistantOpen()}) {
      said += Show(loaded.tokenizer, *part);
    }
    EXPECT_EQ(said, each["rendered"].get<std::string>());
  }
}

TEST(ChatTemplateTest, ASystemTurnThatTakesJinjaIsLeftOut) {
  const std::string open = R"({{- "<|start_header_id|>system<|end_header_id|>\n\n" }})";
  const std::string close = R"({{- "<|eot_id|>" }})";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {open + R"({{- "It is " + "so." }})" + close, "It is so."},
      {R"({%- set date_string = "then" %})" + open + "{{- date_string }}" + close, "then"},
      {open + "{{- date_string }}" + close, ""},
      {open + R"({{- "It is " ~ "so." }})" + close, ""},
      {open + R"({{- "It is so." | upper }})" + close, ""},
      {open + R"({{- "It is so." }})", ""},
      {open + R"({%- if late %}{{- "It is so." }}{%- endif %})" + close, ""},
      {open + R"({%- if tools is not none %}{%- else %}{{- "So." }}{%- endif %})" + close, ""},
      {open + R"({%- if tools is not none %}{{- "So." }})" + close, ""},
      {open + R"({%- set date_string = "then" %}{{- "So." }})" + close, ""},
      {open + R"( {{ "It is so." }})" + close, ""},
      {open + R"(It is {{- "so." }})" + close, ""},
      {R"({%- if late %})" + open + R"({{- "So." }})" + close + "{%- endif %}", ""},
      {R"({%- macro late() %})" + open + R"({{- "So." }})" + close + "{%- endmacro %}", ""},
      {open + R"({{- "It is so. }})" + close, ""},
      {open + R"({{- "It is so.\)", ""},
      {open + "{", ""},
      {open + "{{", ""},
  };
  for (const auto& [source, said] : cases) {
    const Loaded loaded =
        TemplateFile("llama-bpe").With(source + "{# <|start_header_id|> <|eot_id|> #}");
    ASSERT_TRUE(loaded.chat) << source;
    EXPECT_EQ(loaded.chat.value().default_system(), said) << source;
  }
}

TEST(ChatTemplateTest, OtherShapesSayThatRawWorks) {
  for (const char* source :
       {"", "<|im_start|>", "{{ '[INST] ' + content + ' [/INST]' }}",
        "{{ '[INST] ' + message['content'] + ' [/INST] ' }}{{ message['content'] + eos_token }}",
        "{{ '[INST]' + s + '\\n' + message['content'] + '[/INST]' }}{{ content + eos_token }}",
        "{% elif true == true %}{{ '[INST] ' + content + ' [/INST]' }}{{ content + eos_token }}",
        "{{ '<|user|>\\n' + message['content'] + '<|end|>\\n<|assistant|>\\n' }}", "{{ '", "{%"}) {
    const Loaded loaded = TemplateFile().With(source);
    ASSERT_FALSE(loaded.chat) << source;
    EXPECT_EQ(loaded.chat.error().code, Errc::kUnsupported);
    EXPECT_NE(loaded.chat.error().message.find("--raw"), std::string::npos);
  }
}

TEST(ChatTemplateTest, MissingControlTokensAreNamed) {
  const ScratchDirectory scratch;
  GgufWriter writer;
  writer.AddString("tokenizer.ggml.model", "gpt2");
  writer.AddString("tokenizer.ggml.pre", "gpt-2");
  writer.AddStrings("tokenizer.ggml.tokens", {"a"});
  writer.AddStrings("tokenizer.ggml.merges", {});
  writer.AddString("tokenizer.chat_template", "<|im_start|><|im_end|>");
  ASSERT_TRUE(writer.Write(scratch.File("t.gguf")));
  const Loaded loaded = Load(scratch.File("t.gguf"));
  ASSERT_FALSE(loaded.chat);
  EXPECT_EQ(loaded.chat.error().code, Errc::kUnsupported);
  EXPECT_NE(loaded.chat.error().message.find("'<|im_start|>'"), std::string::npos);
}

TEST(ChatTemplateTest, TinyModels) {
  const ScratchDirectory scratch;
  test::TinyModelOptions options;
  options.chat_template = "chatml-system";
  ASSERT_TRUE(test::WriteTinyModel(scratch.File("t.gguf"), options));
  const Loaded with = Load(scratch.File("t.gguf"));
  ASSERT_TRUE(with.chat);
  EXPECT_EQ(with.chat.value().default_system(), "You are tiny.");
  options.chat_template = "none";
  ASSERT_TRUE(test::WriteTinyModel(scratch.File("t.gguf"), options));
  EXPECT_FALSE(Load(scratch.File("t.gguf")).chat);
}

TEST(ChatTemplateTest, RealModel) {
  const std::string path = test::RealModelPath();
  if (path.empty()) GTEST_SKIP() << test::kNoRealModel;
  const Loaded loaded = Load(path);
  ASSERT_TRUE(loaded.chat) << loaded.chat.error().message;
  const ChatTemplate& chat = loaded.chat.value();
  EXPECT_EQ(Show(loaded.tokenizer, chat.Begin()),
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
            "Face<|im_end|>\n");
  EXPECT_EQ(chat.UserOpen(), (std::vector<uint32_t>{1, 4093, 198}));
  EXPECT_EQ(chat.AnswerClose(), (std::vector<uint32_t>{2, 198}));
  EXPECT_EQ(chat.AssistantOpen(), (std::vector<uint32_t>{1, 520, 9531, 198}));
  EXPECT_TRUE(loaded.tokenizer.IsEnd(2));
  EXPECT_TRUE(loaded.tokenizer.IsEnd(0));
  EXPECT_FALSE(loaded.tokenizer.IsEnd(1));
}

}  // namespace
}  // namespace cairn
