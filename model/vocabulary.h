// Vocabulary: what a Tokenizer knows, as loaded from a GGUF file. Used by Tokenizer.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "model/bpe.h"
#include "model/gguf.h"
#include "model/pretokenizer.h"
#include "model/sentence_pieces.h"

namespace cairn {

/// Many short strings in one allocation. Views stay valid until the next Add.
class StringTable {
 public:
  void Reserve(size_t strings, size_t bytes) {
    ends_.reserve(strings);
    text_.reserve(bytes);
  }
  void Add(std::string_view string) {
    text_ += string;
    ends_.push_back(text_.size());
  }
  size_t size() const { return ends_.size(); }
  std::string_view operator[](size_t i) const {
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(text_).substr(begin, ends_[i] - begin);
  }

 private:
  std::string text_;
  std::vector<size_t> ends_;
};

/// Immutable once loaded; owns everything its views point to.
struct Vocabulary {
  static constexpr uint32_t kNoToken = UINT32_MAX;

  /// Errors as Tokenizer::FromGguf says.
  static Result<std::unique_ptr<Vocabulary>> FromGguf(const GgufFile& file);

  StringTable spelled;        ///< [vocabulary] as in the file
  StringTable bytes;          ///< [vocabulary] what Decode gives
  std::vector<bool> control;  ///< [vocabulary]
  std::map<std::string, uint32_t, std::less<>> controls;
  std::optional<uint32_t> bos;
  std::optional<uint32_t> eos;
  std::vector<uint32_t> ends;  ///< eos, and control tokens that end a text or a turn
  bool add_bos = false;

  /// There if the vocabulary is SentencePiece's; else all below is used.
  std::optional<SentencePieces> sentence_pieces;

  std::optional<Pretokenizer> pretokenizer;
  BpeMerges merges{0};
  std::array<uint32_t, 256> byte_tokens{};  ///< token of each byte, or kNoToken
  /// Tokens by their bytes; filled only if the pre-tokenizer ignores merges.
  std::unordered_map<std::string_view, uint32_t> whole_words;
};

}  // namespace cairn
