#include "model/tokenizer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/hash.h"
#include "model/vocabulary.h"

namespace cairn {
namespace {

/// Longer pieces (only texts of gigabytes without a break have them) are cut here before merging.
constexpr size_t kMaxPieceBytes = 1u << 30;
constexpr size_t kMaxCachedBytes = 64;

/// Remembers where in the output of this call a word's ids already are. One entry per hash: a new
/// word replaces the old, so memory is fixed.
class WordCache {
 public:
  /// Room to suit a text of that size, at most 16,384 words.
  explicit WordCache(size_t text_bytes)
      : entries_(std::bit_ceil(std::clamp<size_t>(text_bytes / 16, 1, 16384))) {}

  struct Entry {
    const char* text = nullptr;
    uint32_t bytes = 0;
    uint32_t count = 0;
    size_t first = 0;
  };
  Entry& EntryFor(std::string_view word) {
    return entries_[Hash64(word.data(), word.size()) & (entries_.size() - 1)];
  }
  static bool Holds(const Entry& entry, std::string_view word) {
    return entry.bytes == word.size() && std::memcmp(entry.text, word.data(), word.size()) == 0;
  }

 private:
  std::vector<Entry> entries_;
};

/// Appends the ids of one piece to `ids`. `scratch` is working memory.
void EncodePiece(const Vocabulary& vocabulary, std::string_view piece,
                 std::vector<uint32_t>& scratch, std::vector<uint32_t>& ids) {
  if (!vocabulary.whole_words.empty()) {
    if (const auto found = vocabulary.whole_words.find(piece);
        found != vocabulary.whole_words.end()) {
      ids.push_back(found->second);
      return;
    }
  }
  for (; !piece.empty(); piece.remove_prefix(std::min(piece.size(), kMaxPieceBytes))) {
    scratch.clear();
    for (const char c : piece.substr(0, kMaxPieceBytes)) {
      const uint32_t token = vocabulary.byte_tokens[static_cast<uint8_t>(c)];
      if (token != Vocabulary::kNoToken) scratch.push_back(token);
    }
    vocabulary.merges.Apply(scratch);
    ids.insert(ids.end(), scratch.begin(), scratch.end());
  }
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<Vocabulary> vocabulary) : vocabulary_(std::move(vocabulary)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Result<Tokenizer> Tokenizer::FromGguf(const GgufFile& file) {
  CAIRN_TRY(std::unique_ptr<Vocabulary> vocabulary, Vocabulary::FromGguf(file));
  return Tokenizer(std::move(vocabulary));
}

std::vector<uint32_t> Tokenizer::Encode(std::string_view text) const {
  std::vector<uint32_t> ids;
  std::vector<uint32_t> scratch;
  WordCache cache(text.size());
  ids.reserve(text.size() / 4 + 8);
  const auto encode = [&](std::string_view piece) {
    if (piece.size() > kMaxCachedBytes) {
      EncodePiece(*vocabulary_, piece, scratch, ids);
      return;
    }
    WordCache::Entry& entry = cache.EntryFor(piece);
    if (WordCache::Holds(entry, piece)) {
      const size_t end = ids.size();
      ids.resize(end + entry.count);
      std::copy_n(ids.begin() + static_cast<ptrdiff_t>(entry.first), entry.count,
                  ids.begin() + static_cast<ptrdiff_t>(end));
      return;
    }
    const size_t first = ids.size();
    EncodePiece(*vocabulary_, piece, scratch, ids);
    entry = {piece.data(), static_cast<uint32_t>(piece.size()),
             static_cast<uint32_t>(ids.size() - first), first};
  };
  vocabulary_->pretokenizer.Split(text, encode);
  return ids;
}

std::string Tokenizer::Decode(uint32_t id) const {
  return id < vocab_size() ? std::string(vocabulary_->bytes[id]) : std::string();
}

std::string_view Tokenizer::Text(uint32_t id) const {
  return id < vocab_size() ? vocabulary_->spelled[id] : std::string_view();
}

std::optional<uint32_t> Tokenizer::Control(std::string_view text) const {
  const auto found = vocabulary_->controls.find(text);
  return found == vocabulary_->controls.end() ? std::nullopt
                                              : std::optional<uint32_t>(found->second);
}

bool Tokenizer::IsControl(uint32_t id) const {
  return id < vocab_size() && vocabulary_->control[id];
}

uint32_t Tokenizer::vocab_size() const {
  return static_cast<uint32_t>(vocabulary_->spelled.size());
}
std::optional<uint32_t> Tokenizer::bos() const { return vocabulary_->bos; }
std::optional<uint32_t> Tokenizer::eos() const { return vocabulary_->eos; }
bool Tokenizer::IsEnd(uint32_t id) const {
  return std::ranges::find(vocabulary_->ends, id) != vocabulary_->ends.end();
}
bool Tokenizer::add_bos() const { return vocabulary_->add_bos; }

}  // namespace cairn
