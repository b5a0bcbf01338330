// SentencePieceVocabulary: vocabularies of SentencePiece for test models.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/gguf_writer.h"

namespace cairn::test {

/// Tokens as a GGUF file has them; tests may spoil them.
struct SentencePieceVocabulary {
  std::vector<std::string> pieces;
  std::vector<int32_t> types;  ///< tokenizer.ggml.token_type: 1 normal, 3 control, 4 user-defined …
  std::vector<float> scores;

  /// <unk> (0), <s> (1), </s> (2), the 256 bytes (3-258), then `texts` with scores -1, -2, …
  static SentencePieceVocabulary Of(const std::vector<std::string>& texts);

  void Add(std::string piece, int32_t type, float score);
  /// All keys but those of a chat template.
  void AddTo(GgufWriter& writer) const;
};

}  // namespace cairn::test
