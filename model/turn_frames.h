// TurnFrames: what a chat template puts around what users and a model say.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"

namespace cairn {

/// How a turn's text stands between the marks around it.
struct TurnContent {
  bool space = false;         ///< the template puts one in front
  bool at_start = false;      ///< a control token is in front
  bool trimmed = false;       ///< without spaces at its ends
  bool space_behind = false;  ///< the template puts one there

  /// Ids of a turn's text from its start on.
  std::vector<uint32_t> Encode(const Tokenizer& tokenizer, std::string_view text) const {
    if (space) {
      std::string spaced(1, ' ');
      spaced += text;
      return tokenizer.Encode(spaced);
    }
    return at_start ? tokenizer.EncodeAtStart(text) : tokenizer.Encode(text);
  }
};

struct TurnFrames {
  std::vector<uint32_t> begin;           ///< bos if there is one, and a default system turn
  std::vector<uint32_t> opening;         ///< begin, and what opens a user's first turn
  std::vector<uint32_t> user_open;       ///< what opens a later one
  std::vector<uint32_t> user_close;      ///< what ends a user's turn
  std::vector<uint32_t> assistant_open;  ///< what stands in front of an answer
  std::vector<uint32_t> answer_close;    ///< what ends one
  TurnContent user;
  TurnContent answer;
  bool answer_has_space = false;  ///< the model begins answers with one that is none of the text
};

/// Puts together the tokens of a frame.
class FrameTokens {
 public:
  /// `fresh`: nothing, or a control token, is in front.
  FrameTokens(const Tokenizer& tokenizer, bool fresh) : tokenizer_(&tokenizer), fresh_(fresh) {}

  void AddControl(uint32_t id) {
    ids_.push_back(id);
    fresh_ = true;
  }
  /// Behind a control token a template's space is the one that the vocabulary puts there.
  void AddText(std::string_view text) {
    if (text.empty()) return;
    const bool start = fresh_ && !text.starts_with(' ');
    Add(start ? tokenizer_->EncodeAtStart(text) : tokenizer_->Encode(text));
    fresh_ = false;
  }
  /// Text that begins with `mark`, which may be a control token.
  void AddMarked(std::string_view mark, std::string_view text) {
    const auto control = tokenizer_->Control(mark);
    if (!control) return AddText(std::string(mark) + std::string(text));
    AddControl(*control);
    AddText(text);
  }

  bool fresh() const { return fresh_; }
  const std::vector<uint32_t>& ids() const { return ids_; }

 private:
  void Add(const std::vector<uint32_t>& more) { ids_.insert(ids_.end(), more.begin(), more.end()); }

  const Tokenizer* tokenizer_;
  bool fresh_;
  std::vector<uint32_t> ids_;
};

}  // namespace cairn
