#include "model/sentence_pieces.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/utf8.h"
#include "model/word_cache.h"

namespace cairn {
namespace {

/// Longer words (only texts of gigabytes without a space have them) are cut here.
constexpr size_t kMaxWordBytes = 1u << 30;

}  // namespace

SentencePieces::SentencePieces(Parts parts)
    : space_in_front_(parts.space_in_front),
      vocabulary_(parts.vocabulary),
      byte_tokens_(parts.byte_tokens),
      wholes_(std::move(parts.wholes)),
      merges_(0) {
  const auto first_byte = [](const Whole& whole) { return static_cast<uint8_t>(whole.text[0]); };
  std::ranges::sort(wholes_, [&](const Whole& a, const Whole& b) {
    if (first_byte(a) != first_byte(b)) return first_byte(a) < first_byte(b);
    return a.text.size() != b.text.size() ? a.text.size() > b.text.size() : a.text < b.text;
  });
  for (const Whole& whole : wholes_) ++wholes_from_[first_byte(whole) + 1u];
  for (size_t byte = 0; byte < 256; ++byte) wholes_from_[byte + 1] += wholes_from_[byte];

  for (const Piece& piece : parts.pieces) {
    const Utf8Character first = FirstCharacter(piece.text);
    if (first.bytes == piece.text.size()) symbols_.emplace(first.code, piece.id);
  }
  for (const Piece& piece : parts.pieces) AddCharacters(piece);
  merges_ = MakeMerges(parts.pieces);
}

std::string SentencePieces::WithSpaces(std::string_view text, bool one_in_front) {
  std::string made;
  made.reserve(text.size() + 1);
  if (one_in_front) made += ' ';
  for (;;) {
    const size_t space = text.find(kSpace);
    made += text.substr(0, space);
    if (space == std::string_view::npos) return made;
    made += ' ';
    text.remove_prefix(space + kSpace.size());
  }
}

void SentencePieces::AddCharacters(const Piece& piece) {
  std::string_view rest = piece.text;
  uint32_t before = kNoCharacter;
  while (!rest.empty()) {
    const Utf8Character next = FirstCharacter(rest);
    const auto bare = vocabulary_ + static_cast<uint32_t>(bare_.size());
    if (symbols_.emplace(next.code, bare).second) bare_.emplace_back(rest.substr(0, next.bytes));
    if (before < kAscii && next.code < kAscii) {
      ascii_pairs_.set(before * kAscii + next.code);
    } else if (before != kNoCharacter) {
      pairs_.insert(static_cast<uint64_t>(before) << 32 | next.code);
    }
    before = next.code;
    rest.remove_prefix(next.bytes);
  }
}

BpeMerges SentencePieces::MakeMerges(std::span<const Piece> pieces) const {
  std::vector<float> scores;
  std::unordered_map<std::string_view, uint32_t> tokens;
  for (const Piece& piece : pieces) {
    scores.push_back(piece.score);
    tokens.emplace(piece.text, piece.id);
  }
  std::ranges::sort(scores, std::greater<>());
  scores.erase(std::ranges::unique(scores).begin(), scores.end());
  const auto symbol = [&](std::string_view text) {
    const auto found = tokens.find(text);
    if (found != tokens.end()) return found->second;
    const Utf8Character first = FirstCharacter(text);
    return first.bytes == text.size() ? SymbolOf(first.code) : kNoToken;
  };
  struct Rule {
    uint32_t left;
    uint32_t right;
    BpeMerges::Merge merge;
  };
  std::vector<Rule> rules;
  for (const Piece& piece : pieces) {
    const std::string_view text = piece.text;
    const auto place = std::ranges::lower_bound(scores, piece.score, std::greater<>());
    const auto rank = static_cast<uint32_t>(place - scores.begin());
    for (size_t at = FirstCharacter(text).bytes; at < text.size();
         at += FirstCharacter(text.substr(at)).bytes) {
      const uint32_t left = symbol(text.substr(0, at));
      const uint32_t right = left == kNoToken ? kNoToken : symbol(text.substr(at));
      if (right != kNoToken) rules.push_back({left, right, {rank, piece.id}});
    }
  }
  BpeMerges merges(rules.size());
  for (const Rule& rule : rules) merges.Add(rule.left, rule.right, rule.merge);
  return merges;
}

uint32_t SentencePieces::SymbolOf(uint32_t code) const {
  const auto found = symbols_.find(code);
  return found == symbols_.end() ? kNoToken : found->second;
}

bool SentencePieces::Joins(uint32_t left, uint32_t right) const {
  if (left < kAscii && right < kAscii) return ascii_pairs_.test(left * kAscii + right);
  return pairs_.contains(static_cast<uint64_t>(left) << 32 | right);
}

const SentencePieces::Whole* SentencePieces::WholeAt(std::string_view text) const {
  const auto first = static_cast<uint8_t>(text[0]);
  for (uint32_t i = wholes_from_[first]; i < wholes_from_[first + 1u]; ++i) {
    if (text.starts_with(wholes_[i].text)) return &wholes_[i];
  }
  return nullptr;
}

void SentencePieces::Encode(std::string_view text, bool at_start,
                            std::vector<uint32_t>& ids) const {
  bool space = at_start && space_in_front_;
  const auto encode = [&](std::string_view part) {
    if (!part.empty()) EncodePlain(WithSpaces(part, space), ids);
  };
  for (size_t at = 0; !wholes_.empty() && at < text.size();) {
    const Whole* whole = WholeAt(text.substr(at));
    if (whole == nullptr) {
      ++at;
      continue;
    }
    encode(text.substr(0, at));
    ids.push_back(whole->id);
    space = space_in_front_;
    text.remove_prefix(at + whole->text.size());
    at = 0;
  }
  encode(text);
}

void SentencePieces::EncodePlain(std::string_view text, std::vector<uint32_t>& ids) const {
  WordCache cache(text.size());
  std::vector<uint32_t> scratch;
  ids.reserve(ids.size() + text.size() / 4 + 8);
  const auto encode = [&](std::string_view word) { EncodeWord(word, scratch, ids); };
  size_t word = 0;
  uint32_t before = kNoCharacter;
  for (size_t at = 0; at < text.size();) {
    const Utf8Character next = FirstCharacter(text.substr(at));
    // No character, and none that no piece has, is joined with anything.
    const bool goes_on = Joins(before, next.code) && at - word < kMaxWordBytes;
    if (at > word && !goes_on) {
      cache.Append(text.substr(word, at - word), ids, encode);
      word = at;
    }
    before = next.code;
    at += next.bytes;
  }
  if (word < text.size()) cache.Append(text.substr(word), ids, encode);
}

void SentencePieces::EncodeWord(std::string_view word, std::vector<uint32_t>& scratch,
                                std::vector<uint32_t>& ids) const {
  const auto add_bytes = [&](std::string_view bytes) {
    for (const char c : bytes) ids.push_back(byte_tokens_[static_cast<uint8_t>(c)]);
  };
  scratch.clear();
  for (std::string_view rest = word; !rest.empty();) {
    const Utf8Character next = FirstCharacter(rest);
    const uint32_t symbol = SymbolOf(next.code);
    if (symbol == kNoToken) return add_bytes(word);  // it stands alone
    scratch.push_back(symbol);
    rest.remove_prefix(next.bytes);
  }
  merges_.Apply(scratch);
  for (const uint32_t symbol : scratch) {
    if (symbol < vocabulary_) {
      ids.push_back(symbol);
    } else {
      add_bytes(bare_[symbol - vocabulary_]);
    }
  }
}

}  // namespace cairn
