// ChatTemplate: the tokens that frame the turns of a conversation, for the two shapes in use:
// ChatML (<|im_start|>user ... <|im_end|>) and Llama 3 (<|start_header_id|>user ... <|eot_id|>).
//
// A conversation is Begin, then for every exchange UserOpen, the encoded user text, TurnClose,
// AssistantOpen, and what the model generates up to a token that ends it
// (Tokenizer::IsEnd), which TurnClose replaces.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/gguf.h"
#include "model/tokenizer.h"

namespace cairn {

/// A copyable value that needs neither file nor tokenizer once made; immutable and thread-safe.
class ChatTemplate {
 public:
  /// Recognises the shape from tokenizer.chat_template; kUnsupported if there is none or it has
  /// another shape or its control tokens are missing: the message says that --raw works.
  static Result<ChatTemplate> FromGguf(const GgufFile& file, const Tokenizer& tokenizer);

  /// The bos token if model or template ask for it, then the default system turn if any.
  const std::vector<uint32_t>& Begin() const { return begin_; }
  const std::vector<uint32_t>& UserOpen() const { return user_open_; }
  /// The end-of-turn marker and what follows it, e.g. "<|im_end|>\n".
  const std::vector<uint32_t>& TurnClose() const { return turn_close_; }
  const std::vector<uint32_t>& AssistantOpen() const { return assistant_open_; }

  /// The system prompt that the template gives a conversation without one, with the template's own
  /// date where it has one; empty if it gives none.
  const std::string& default_system() const { return default_system_; }

 private:
  ChatTemplate() = default;

  std::vector<uint32_t> begin_;
  std::vector<uint32_t> user_open_;
  std::vector<uint32_t> turn_close_;
  std::vector<uint32_t> assistant_open_;
  std::string default_system_;
};

}  // namespace cairn
