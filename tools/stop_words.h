// StopWords: words in front of which a streamed text ends. What might be the beginning of one is
// held back until it is known to be none.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cairn {

class StopWords {
 public:
  /// Empty words are none.
  explicit StopWords(std::vector<std::string> words);

  /// Takes the next piece; gives what is sure to belong to the text. Nothing once `found`.
  std::string Take(std::string_view piece);
  /// What was held back, at the end of the text.
  std::string Rest();
  bool found() const { return found_; }

 private:
  std::vector<std::string> words_;
  std::string held_;
  bool found_ = false;
};

}  // namespace cairn
