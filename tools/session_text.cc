#include "tools/session_text.h"

#include <algorithm>

namespace cairn {

int64_t SessionText::End(int64_t block) const {
  return std::clamp<int64_t>((block + 1) * block_tokens_, 0, size());
}

std::string SessionText::Text(int64_t begin, int64_t end) const {
  std::string text;
  for (int64_t i = std::max<int64_t>(begin, 0); i < std::min(end, size()); ++i) {
    const auto at = static_cast<size_t>(i);
    const bool start = at == 0 || tokenizer_.IsControl(tokens_[at - 1]);
    text += start ? tokenizer_.DecodeAtStart(tokens_[at]) : tokenizer_.Decode(tokens_[at]);
  }
  return text;
}

}  // namespace cairn
