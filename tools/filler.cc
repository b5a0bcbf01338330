#include "tools/filler.h"

#include <algorithm>
#include <string>

namespace cairn {
namespace {

constexpr std::string_view kPaper =
    " The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

Border BorderBetween(const std::string& before, const std::string& after) {
  if (before.empty() || before.back() == '\n') return Border::kLine;
  const bool stop = std::string_view(".!?").find(before.back()) != std::string_view::npos;
  return stop && after.starts_with(' ') ? Border::kSentence : Border::kNone;
}

}  // namespace

Filler::Filler(const Tokenizer& tokenizer, std::string_view text, bool passages)
    : tokens_(tokenizer.Encode(text)), passages_(passages) {
  borders_.reserve(tokens_.size());
  std::string before = tokens_.empty() ? "" : tokenizer.Decode(tokens_.back());
  for (const uint32_t token : tokens_) {
    std::string piece = tokenizer.Decode(token);
    borders_.push_back(BorderBetween(before, piece));
    before = std::move(piece);
  }
}

Filler Filler::Text(const Tokenizer& tokenizer, std::string_view text) {
  return Filler(tokenizer, text, true);
}

Filler Filler::Paper(const Tokenizer& tokenizer) { return Filler(tokenizer, kPaper, false); }

int64_t Filler::Start(int64_t tokens, Draw* draw) const {
  if (!passages_) return 0;
  int64_t start = draw->Below(size() > tokens ? size() - tokens + 1 : size());
  while (start > 0 && border(start) != Border::kLine) --start;
  return start;
}

}  // namespace cairn
