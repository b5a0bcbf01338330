#include "tests/support/sentence_piece_vocabulary.h"

#include <fmt/format.h>

#include <utility>

namespace cairn::test {

SentencePieceVocabulary SentencePieceVocabulary::Of(const std::vector<std::string>& texts) {
  SentencePieceVocabulary made;
  made.Add("<unk>", 2, 0);
  made.Add("<s>", 3, 0);
  made.Add("</s>", 3, 0);
  for (int byte = 0; byte < 256; ++byte) made.Add(fmt::format("<0x{:02X}>", byte), 6, 0);
  for (size_t i = 0; i < texts.size(); ++i) made.Add(texts[i], 1, -1.0f - static_cast<float>(i));
  return made;
}

void SentencePieceVocabulary::Add(std::string piece, int32_t type, float score) {
  pieces.push_back(std::move(piece));
  types.push_back(type);
  scores.push_back(score);
}

void SentencePieceVocabulary::AddTo(GgufWriter& writer) const {
  writer.AddString("tokenizer.ggml.model", "llama");
  writer.AddStrings("tokenizer.ggml.tokens", pieces);
  writer.AddFloat32s("tokenizer.ggml.scores", scores);
  writer.AddInt32s("tokenizer.ggml.token_type", types);
  writer.AddUint32("tokenizer.ggml.bos_token_id", 1);
  writer.AddUint32("tokenizer.ggml.eos_token_id", 2);
}

}  // namespace cairn::test
