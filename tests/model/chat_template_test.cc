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
