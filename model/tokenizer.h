// Tokenizer: byte-level byte-pair encoding with the vocabulary of a GGUF file.
//
// Text is always plain: "<|im_end|>" inside a text becomes ordinary tokens. Control tokens are
// asked for by name (Control) and put between encoded texts by the caller. Gives the same ids as
// Hugging Face `tokenizers` for the same vocabulary; text is not normalised.
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
  /// with smollm, gpt-2, llama-bpe or qwen2; kCorruption if the vocabulary contradicts itself.
  static Result<Tokenizer> FromGguf(const GgufFile& file);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Ids of `text`, any bytes. Nothing is added in front or behind. A byte that the vocabulary has
  /// no token for is dropped. Time grows as n log n in the longest word, linearly otherwise.
  std::vector<uint32_t> Encode(std::string_view text) const;
  /// The bytes `id` stands for, perhaps part of a character; empty for control tokens and for ids
  /// outside the vocabulary.
  std::string Decode(uint32_t id) const;

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
  /// Whether the model wants bos() in front of every text (tokenizer.ggml.add_bos_token).
  bool add_bos() const;

 private:
  explicit Tokenizer(std::unique_ptr<Vocabulary> vocabulary);
  std::unique_ptr<Vocabulary> vocabulary_;
};

}  // namespace cairn
