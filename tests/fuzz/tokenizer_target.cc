// Vocabularies and chat templates in GGUF files, as they are; texts are cut with what was read.
#include "base/check.h"
#include "model/chat_template.h"
#include "model/tokenizer.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/memory_file.h"

namespace cairn::test {
namespace {

void UseTokenizer(const Tokenizer& tokenizer) {
  for (const std::string_view text : {"", "ab ab\xff the 42 \xc3\xa9<|im_end|>\n\n ",
                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                      "the[x][x] \xe2\x96\x81the\xe2\x96[x"}) {
    for (const auto& ids : {tokenizer.Encode(text), tokenizer.EncodeAtStart(text)}) {
      for (const uint32_t id : ids) {
        CAIRN_CHECK(id < tokenizer.vocab_size());
        (void)tokenizer.Decode(id);
        (void)tokenizer.DecodeAtStart(id);
        (void)tokenizer.Text(id);
      }
    }
  }
  for (const auto id : {tokenizer.bos(), tokenizer.eos(), tokenizer.Control("<|im_end|>")}) {
    CAIRN_CHECK(!id || *id < tokenizer.vocab_size());
  }
}

void ReadTokenizer(std::span<const uint8_t> bytes) {
  const MemoryFile memory(bytes);
  const auto file = GgufFile::Open(memory.path());
  if (!file) return;
  const auto tokenizer = Tokenizer::FromGguf(file.value());
  if (!tokenizer) return;
  UseTokenizer(tokenizer.value());
  const auto shape = ChatTemplate::FromGguf(file.value(), tokenizer.value());
  if (!shape) return;
  const ChatTemplate& chat = shape.value();
  (void)chat.AnswerText(tokenizer.value(), chat.Trimmed(" a "));
  for (const auto* ids : {&chat.Begin(), &chat.Opening(), &chat.UserOpen(), &chat.UserClose(),
                          &chat.AssistantOpen(), &chat.AnswerClose()}) {
    for (const uint32_t id : *ids) CAIRN_CHECK(id < tokenizer.value().vocab_size());
  }
}

}  // namespace
}  // namespace cairn::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::test::ReadTokenizer({data, size});
  return 0;
}
