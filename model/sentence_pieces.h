// SentencePieces: the pieces of a SentencePiece vocabulary of kind BPE, and texts made of them.
//
// A text's characters are put together, always the two neighbours next that make the piece with the
// highest score, of equal scores the leftmost. A character that is no piece becomes its bytes.
// Gives the same ids as the sentencepiece library (without its normalisation) and as llama.cpp.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "model/bpe.h"

namespace cairn {

/// Immutable: any number of threads may encode at once. Owns all it needs.
class SentencePieces {
 public:
  /// How vocabularies spell a space.
  static constexpr std::string_view kSpace = "\u2581";
  static constexpr uint32_t kNoToken = UINT32_MAX;
  /// `text` with spaces as such, and perhaps one more in front.
  static std::string WithSpaces(std::string_view text, bool one_in_front = false);

  /// A token that text may become; `text` has spaces as such.
  struct Piece {
    std::string text;
    uint32_t id;
    float score;
  };
  /// A token that a text is cut at before all else, as the vocabulary spells it.
  struct Whole {
    std::string text;
    uint32_t id;
  };
  struct Parts {
    std::vector<Piece> pieces;                ///< distinct, UTF-8, none empty; finite scores
    std::vector<Whole> wholes;                ///< distinct, none empty
    std::array<uint32_t, 256> byte_tokens{};  ///< the token of each byte
    uint32_t vocabulary = 0;                  ///< above all ids
    bool space_in_front = true;               ///< of a text, and behind a whole token
  };
  explicit SentencePieces(Parts parts);

  /// Appends the ids of `text`, any bytes; `at_start`: of a text, or behind a control token.
  /// Time grows as n log n in the longest run without a place that no piece goes across (words are
  /// such runs), linearly otherwise.
  void Encode(std::string_view text, bool at_start, std::vector<uint32_t>& ids) const;

  bool space_in_front() const { return space_in_front_; }

 private:
  /// What a character is before it is put together with others. Beside tokens there are characters
  /// that are none and yet parts of pieces: they count from `vocabulary` on.
  uint32_t SymbolOf(uint32_t code) const;
  /// Whether some piece has these two characters as neighbours.
  bool Joins(uint32_t left, uint32_t right) const;
  void AddCharacters(const Piece& piece);
  BpeMerges MakeMerges(std::span<const Piece> pieces) const;

  const Whole* WholeAt(std::string_view text) const;
  /// Appends the ids of a text with spaces as such and without whole tokens.
  void EncodePlain(std::string_view text, std::vector<uint32_t>& ids) const;
  void EncodeWord(std::string_view word, std::vector<uint32_t>& scratch,
                  std::vector<uint32_t>& ids) const;

  static constexpr uint32_t kAscii = 128;

  bool space_in_front_;
  uint32_t vocabulary_;
  std::array<uint32_t, 256> byte_tokens_;
  std::vector<Whole> wholes_;                       ///< by first byte, the longest first
  std::array<uint32_t, 257> wholes_from_{};         ///< where those of a first byte begin
  std::unordered_map<uint32_t, uint32_t> symbols_;  ///< by character
  std::vector<std::string> bare_;                   ///< the characters that are no tokens
  std::bitset<kAscii * kAscii> ascii_pairs_;
  std::unordered_set<uint64_t> pairs_;
  BpeMerges merges_;
};

}  // namespace cairn
