// Filler: the tokens that facts are hidden among, without end: a text that begins again where it
// ends. Knows where lines and sentences begin.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"
#include "tools/draw.h"

namespace cairn {

enum class Border : uint8_t { kNone, kSentence, kLine };

class Filler {
 public:
  /// Passages of `text`; empty if the text has no tokens.
  static Filler Text(const Tokenizer& tokenizer, std::string_view text);
  /// The five sentences about grass and sky that the landmark paper repeats.
  static Filler Paper(const Tokenizer& tokenizer);

  /// Tokens until it begins again; 0 if there are none.
  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }
  uint32_t token(int64_t i) const { return tokens_[Index(i)]; }
  /// What begins with token i.
  Border border(int64_t i) const { return borders_[Index(i)]; }
  /// Where a passage of `tokens` tokens starts: at a line somewhere in the text, early enough to
  /// end within it if the text is long enough. The paper's filler always starts at its start.
  int64_t Start(int64_t tokens, Draw* draw) const;

 private:
  Filler(const Tokenizer& tokenizer, std::string_view text, bool passages);
  size_t Index(int64_t i) const { return static_cast<size_t>(i) % tokens_.size(); }

  std::vector<uint32_t> tokens_;
  std::vector<Border> borders_;
  bool passages_;
};

}  // namespace cairn
