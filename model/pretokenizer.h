// Pretokenizer: cuts text into the pieces that byte-pair encoding works on, as the reference
// implementation of each family does: smollm, gpt-2, llama-bpe and qwen2.
#pragma once

#include <memory>
#include <string_view>

#include "base/error.h"
#include "base/parallel.h"

namespace cairn {

/// Move-only and immutable: any number of threads may split at once.
class Pretokenizer {
 public:
  /// `name` as in a GGUF's tokenizer.ggml.pre; "llama3" and "llama-v3" mean llama-bpe.
  /// kUnsupported naming it, and listing the known ones, otherwise.
  static Result<Pretokenizer> Make(std::string_view name);
  ~Pretokenizer();
  Pretokenizer(Pretokenizer&&) noexcept;
  Pretokenizer& operator=(Pretokenizer&&) noexcept;

  /// Calls `piece` on the pieces in order; put together they are `text`, and none is empty. Text is
  /// cut at bytes that are not UTF-8, and each run of such bytes is a piece of its own.
  void Split(std::string_view text, FunctionRef<void(std::string_view)> piece) const;

  /// True if a piece that is a token as a whole becomes that token without merging (llama-bpe).
  bool ignore_merges() const;

 private:
  struct State;
  explicit Pretokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn
