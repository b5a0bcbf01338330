#include "tools/stop_words.h"

#include <algorithm>
#include <utility>

namespace cairn {

StopWords::StopWords(std::vector<std::string> words) : words_(std::move(words)) {
  std::erase_if(words_, [](const std::string& word) { return word.empty(); });
}

std::string StopWords::Take(std::string_view piece) {
  if (found_) return {};
  held_ += piece;
  size_t first = std::string::npos;
  for (const std::string& word : words_) first = std::min(first, held_.find(word));
  if (first != std::string::npos) {
    found_ = true;
    held_.resize(first);
    return std::exchange(held_, {});
  }
  size_t kept = 0;  // of the end, which a word may begin with
  for (const std::string& word : words_) {
    for (size_t size = std::min(word.size() - 1, held_.size()); size > kept; --size) {
      if (held_.ends_with(std::string_view(word).substr(0, size))) kept = size;
    }
  }
  std::string sure = held_.substr(0, held_.size() - kept);
  held_.erase(0, sure.size());
  return sure;
}

std::string StopWords::Rest() { return std::exchange(held_, {}); }

}  // namespace cairn
