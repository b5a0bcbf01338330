#include "model/tokenizer.h"

#include <algorithm>
#include <utility>

#include "model/vocabulary.h"
#include "model/word_cache.h"

namespace cairn {
namespace {

/// Longer pieces (only texts of gigabytes without a break have them) are cut here before merging.
constexpr size_t kMaxPieceBytes = 1u << 30;

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
  if (vocabulary_->sentence_pieces) {
    vocabulary_->sentence_pieces->Encode(text, false, ids);
    return ids;
  }
  std::vector<uint32_t> scratch;
  WordCache cache(text.size());
  ids.reserve(text.size() / 4 + 8);
  const auto encode = [&](std::string_view piece) {
    EncodePiece(*vocabulary_, piece, scratch, ids);
  };
  vocabulary_->pretokenizer->Split(
      text, [&](std::string_view piece) { cache.Append(piece, ids, encode); });
  return ids;
}

std::vector<uint32_t> Tokenizer::EncodeAtStart(std::string_view text) const {
  if (!vocabulary_->sentence_pieces) return Encode(text);
  std::vector<uint32_t> ids;
  vocabulary_->sentence_pieces->Encode(text, true, ids);
  return ids;
}

std::string Tokenizer::Decode(uint32_t id) const {
  return id < vocab_size() ? std::string(vocabulary_->bytes[id]) : std::string();
}

std::string Tokenizer::DecodeAtStart(uint32_t id) const {
  std::string text = Decode(id);
  if (space_in_front() && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

bool Tokenizer::space_in_front() const {
  return vocabulary_->sentence_pieces && vocabulary_->sentence_pieces->space_in_front();
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
