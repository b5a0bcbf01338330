// SessionText: the tokens of an open session, those not committed included, and the text of its
// blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/tokenizer.h"

namespace cairn {

class SessionText {
 public:
  /// `tokenizer` must outlive it; `block_tokens` as in the session's profile.
  SessionText(const Tokenizer& tokenizer, std::vector<uint32_t> tokens, int64_t block_tokens)
      : tokenizer_(tokenizer), tokens_(std::move(tokens)), block_tokens_(block_tokens) {}

  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }
  int64_t block_tokens() const { return block_tokens_; }
  /// The first token of a block, and the one behind its last; the last block may be short.
  int64_t Begin(int64_t block) const { return block * block_tokens_; }
  int64_t End(int64_t block) const;
  /// Tokens [begin, end) decoded: bytes, as they were read. Control tokens give nothing.
  std::string Text(int64_t begin, int64_t end) const;
  std::string BlockText(int64_t block) const { return Text(Begin(block), End(block)); }
  const std::vector<uint32_t>& tokens() const { return tokens_; }

 private:
  const Tokenizer& tokenizer_;
  std::vector<uint32_t> tokens_;
  int64_t block_tokens_;
};

}  // namespace cairn
