// Tiny random models, complete enough to run text through the engine: a vocabulary, byte-level with
// ChatML control tokens if nothing else is said, a chat template, weights from a seed.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "model/quants.h"

namespace cairn::test {

struct TinyModelOptions {
  std::string architecture = "llama";  ///< or "qwen2" (a bias), "qwen3" (norms of heads)
  int layers = 2;
  int heads = 4;
  int kv_heads = 2;
  int head_dim = 16;  ///< even; the hidden size is heads * head_dim
  int ffn = 96;
  int vocab = 0;     ///< rows of the embedding; 0 or too few: as many as the toy vocabulary has
  bool tied = true;  ///< no output.weight: the embedding serves for output too
  float rope_base = 10000.0f;
  uint64_t seed = 1;
  /// Of the matrices: kF32, kF16 or kQ8_0 (needs row lengths that are multiples of 32).
  GgmlType weight_type = GgmlType::kF32;
  std::string chat_template =
      "chatml";                  ///< "chatml", "chatml-system" (has a default), "inst" or "none"
  bool sentence_pieces = false;  ///< a vocabulary of SentencePiece in place of the toy vocabulary
  int sliding_window = 0;        ///< 0: no key for it
};

/// Size of the toy vocabulary: 256 byte tokens (ids 3-258), a few merges, <|endoftext|> (0),
/// <|im_start|> (1) and <|im_end|> (2).
int TinyVocabulary();

/// Writes the model; the same options give the same bytes.
Status WriteTinyModel(const std::string& path, const TinyModelOptions& options);

struct TinyAdapterOptions {
  int rank = 2;
  float alpha = 4.0f;
  float strength = 0.05f;  ///< standard deviation of the factors' entries
  uint64_t seed = 7;
  bool landmark = true;  ///< with landmark embedding and metadata
  int regular_tokens = 15;
  bool in_loss = false;
  int trained_context = 256;
  std::string selection = "per_chunk";
  bool token_embedding = false;  ///< with factors of token_embd.weight too
};

/// Writes a LoRA adapter for every matrix of the layers of a model with `model` options.
Status WriteTinyAdapter(const std::string& path, const TinyModelOptions& model,
                        const TinyAdapterOptions& options);

}  // namespace cairn::test
