// ChatTemplate: the tokens that frame the turns of a conversation, for the shapes in use: ChatML
// (<|im_start|>user ... <|im_end|>), Llama 3 (<|start_header_id|>user ... <|eot_id|>), Llama 2 and
// Mistral ([INST] ... [/INST]), Zephyr and TinyLlama (<|user|> ... <|assistant|>).
//
// A conversation is Opening (later UserOpen), the user's text (UserText), UserClose, AssistantOpen,
// and what the model generates up to a token that ends it (Tokenizer::IsEnd), which AnswerClose
// replaces; and so on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/gguf.h"
#include "model/tokenizer.h"
#include "model/turn_frames.h"

namespace cairn {

/// A copyable value that needs neither file nor tokenizer once made; immutable and thread-safe.
class ChatTemplate {
 public:
  /// Recognises the shape from tokenizer.chat_template; kUnsupported if there is none or it has
  /// another shape or its control tokens are missing: the message says that --raw works.
  static Result<ChatTemplate> FromGguf(const GgufFile& file, const Tokenizer& tokenizer);

  /// The bos token if model or template ask for it, then the default system turn if any.
  const std::vector<uint32_t>& Begin() const { return frames_.begin; }
  /// Begin() and what stands in front of the first user's text.
  const std::vector<uint32_t>& Opening() const { return frames_.opening; }
  /// What stands in front of a later one, behind AnswerClose().
  const std::vector<uint32_t>& UserOpen() const { return frames_.user_open; }
  /// The end-of-turn marker and what follows it, e.g. "<|im_end|>\n"; empty where only what stands
  /// in front of an answer tells.
  const std::vector<uint32_t>& UserClose() const { return frames_.user_close; }
  const std::vector<uint32_t>& AssistantOpen() const { return frames_.assistant_open; }
  const std::vector<uint32_t>& AnswerClose() const { return frames_.answer_close; }

  /// The ids of what a user says first in a turn; `tokenizer` is the one this was made with.
  std::vector<uint32_t> UserText(const Tokenizer& tokenizer, std::string_view text) const {
    return frames_.user.Encode(tokenizer, text);
  }
  /// The ids of an answer that was not generated.
  std::vector<uint32_t> AnswerText(const Tokenizer& tokenizer, std::string_view text) const;
  /// What a user says behind what a system said, as one text: as the template joins them, or with
  /// an empty line between. `text` if the system said nothing.
  std::string WithSystem(const std::string& system, const std::string& text) const;
  /// `text` without spaces at its ends if the template takes them off users' texts.
  std::string_view Trimmed(std::string_view text) const;
  /// Whether an answer begins with a space that is none of its text.
  bool answer_has_space() const { return frames_.answer_has_space; }

  /// The system prompt that the template gives a conversation without one, with the template's own
  /// date where it has one; empty if it gives none.
  const std::string& default_system() const { return default_system_; }

 private:
  ChatTemplate() = default;

  TurnFrames frames_;
  bool marks_system_ = false;  ///< as <<SYS>>
  std::string default_system_;
};

}  // namespace cairn
