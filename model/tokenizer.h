// Tokenizer: byte-pair encoding with the vocabulary of a GGUF file, on bytes or, with vocabularies
// of SentencePiece, on characters.
//
// Text is always plain: "<|im_end|>" inside a text becomes ordinary tokens. Control tokens are
// asked for by name (Control) and put between encoded texts by the caller. Gives the same ids as
// Hugging Face `tokenizers` or sentencepiece for the same vocabulary; text is not normalised, but
// SentencePiece's sign for a space, U+2581, is one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/gguf.h"

namespace cairn {

struct Vocabulary;

/// Move-only and immutable: any number of threads may use one at once. Keeps copies of what it
/// needs; the file may go.
class Tokenizer {
 public:
  /// kUnsupported naming the tokenizer model or pre-tokenizer if it is another than byte-level BPE
  /// with smollm, gpt-2, llama-bpe or qwen2, or SentencePiece's BPE ("llama"); kCorruption if the
  /// vocabulary contradicts itself.
  static Result<Tokenizer> FromGguf(const GgufFile& file);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Ids of `text`, any bytes. Nothing is added in front or behind. A byte that the vocabulary has
  /// no token for is dropped. Time grows as n log n in the longest word, linearly otherwise.
  std::vector<uint32_t> Encode(std::string_view text) const;
  /// The same for a text with nothing or a control token in front of it, where vocabularies of
  /// SentencePiece mostly ask for one more space; none is added to an empty text.
  std::vector<uint32_t> EncodeAtStart(std::string_view text) const;
  /// The bytes `id` stands for, perhaps part of a character; empty for control tokens and for ids
  /// outside the vocabulary.
  std::string Decode(uint32_t id) const;
  /// The same without the space that EncodeAtStart adds.
  std::string DecodeAtStart(uint32_t id) const;
  /// Whether EncodeAtStart adds one.
  bool space_in_front() const;

  /// The token as the vocabulary spells it; empty for ids outside the vocabulary.
  std::string_view Text(uint32_t id) const;
  /// Id of the control token spelt `text`, e.g. "<|im_end|>".
  std::optional<uint32_t> Control(std::string_view text) const;
  bool IsControl(uint32_t id) const;

  uint32_t vocab_size() const;
  std::optional<uint32_t> bos() const;
  std::optional<uint32_t> eos() const;
  /// Whether a model that says `id` has ended its text or its turn: eos(), or a control token that
  /// means the same, e.g. "<|eot_id|>" where eos() is "<|end_of_text|>".
  bool IsEnd(uint32_t id) const;
  /// Whether the model wants bos() in front of every text (tokenizer.ggml.add_bos_token). What a
  /// file says of eos() behind texts is not followed: here a text goes on.
  bool add_bos() const;

 private:
  explicit Tokenizer(std::unique_ptr<Vocabulary> vocabulary);
  std::unique_ptr<Vocabulary> vocabulary_;
};

}  // namespace cairn
