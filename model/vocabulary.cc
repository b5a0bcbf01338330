#include "model/vocabulary.h"

#include <cmath>
#include <unordered_set>
#include <utility>

#include "base/utf8.h"
#include "model/byte_alphabet.h"
#include "model/gguf_parser.h"

namespace cairn {
namespace {

constexpr uint64_t kMaxVocabulary = 1u << 24;
constexpr size_t kMaxPieceBytes = 512;  // of SentencePiece; ten times what is in use

// Values of tokenizer.ggml.token_type.
enum TokenType : int64_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

/// Control tokens that end a text or a turn, wherever a vocabulary has them.
constexpr std::array<std::string_view, 5> kEnds{"<|endoftext|>", "<|end_of_text|>", "<|im_end|>",
                                                "<|eot_id|>", "<|eom_id|>"};

bool LooksLikeControl(std::string_view token) {
  return token.starts_with("<|") && token.ends_with("|>");
}

bool LooksLikeByte(std::string_view token) {
  const auto digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  return token.size() == 6 && token.starts_with("<0x") && token[5] == '>' && digit(token[3]) &&
         digit(token[4]);
}

/// The byte that a token spelt <0x0A> stands for.
uint8_t ByteOf(std::string_view token) {
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'A' + 10; };
  return static_cast<uint8_t>(value(token[3]) * 16 + value(token[4]));
}

class Loader {
 public:
  explicit Loader(const GgufFile& file) : file_(file) {}

  Result<std::unique_ptr<Vocabulary>> Load();

 private:
  using TokenMap = std::unordered_map<std::string_view, uint32_t>;
  struct Tokens {
    std::vector<std::string> spelled;
    std::vector<int64_t> types;
  };

  Error Contradiction(std::string_view problem) const {
    return Fail(Errc::kCorruption,
                "the vocabulary of '{}' contradicts itself: {}; convert it again", file_.path(),
                problem);
  }
  Result<Tokens> LoadTokens(Vocabulary& into) const;
  Status LoadSpecials(bool add_bos, Vocabulary& into) const;
  Result<std::optional<uint32_t>> TokenId(std::string_view key, uint32_t vocabulary) const;

  Status LoadByteLevel(Vocabulary& into) const;
  Result<Pretokenizer> MakePretokenizer(std::string* name) const;
  Status LoadMerges(const std::vector<std::string>& merges, const TokenMap& tokens,
                    Vocabulary& into) const;

  Status LoadSentencePieces(Vocabulary& into) const;
  Status CheckPieces(const Tokens& tokens, const std::vector<float>& scores) const;

  const GgufFile& file_;
  const ByteAlphabet alphabet_;
};

Result<Pretokenizer> Loader::MakePretokenizer(std::string* name) const {
  CAIRN_TRY(*name, file_.StringOr("tokenizer.ggml.pre", ""));
  if (name->empty()) {
    return Fail(Errc::kUnsupported,
                "'{}' does not say how its tokenizer cuts text (tokenizer.ggml.pre); convert the "
                "model again with a newer converter",
                file_.path());
  }
  Result<Pretokenizer> made = Pretokenizer::Make(Printable(*name));
  if (!made) return Fail(made.error().code, "'{}': {}", file_.path(), made.error().message);
  return made;
}

Result<Loader::Tokens> Loader::LoadTokens(Vocabulary& into) const {
  Tokens tokens;
  CAIRN_TRY(tokens.spelled, file_.Strings("tokenizer.ggml.tokens"));
  tokens.types.assign(tokens.spelled.size(), kNormal);
  if (file_.Has("tokenizer.ggml.token_type")) {
    CAIRN_TRY(tokens.types, file_.Ints("tokenizer.ggml.token_type"));
  }
  const size_t count = tokens.spelled.size();
  if (count == 0 || count > kMaxVocabulary || tokens.types.size() != count) {
    return Contradiction(fmt::format("{} tokens and {} token types", count, tokens.types.size()));
  }
  size_t bytes = 0;
  for (const std::string& token : tokens.spelled) bytes += token.size();
  into.spelled.Reserve(count, bytes);
  into.bytes.Reserve(count, bytes);
  into.control.resize(count);
  for (size_t id = 0; id < count; ++id) {
    const std::string& token = tokens.spelled[id];
    const int64_t type = tokens.types[id];
    // Some converters call control tokens "user defined"; their spelling gives them away.
    const bool control =
        type == kControl || type == kUnknown || (type == kUserDefined && LooksLikeControl(token));
    into.control[id] = control;
    if (control) into.controls.emplace(token, static_cast<uint32_t>(id));
    into.spelled.Add(token);
  }
  return tokens;
}

Status Loader::LoadMerges(const std::vector<std::string>& merges, const TokenMap& tokens,
                          Vocabulary& into) const {
  std::string joined;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view rule = merges[rank];
    const size_t space = rule.find(' ', 1);
    if (space == std::string_view::npos) {
      return Contradiction(fmt::format("merge {} ('{}') is not two tokens", rank, Printable(rule)));
    }
    const std::string_view left = rule.substr(0, space);
    const std::string_view right = rule.substr(space + 1);
    joined = left;
    joined += right;
    const auto left_id = tokens.find(left);
    const auto right_id = tokens.find(right);
    const auto merged_id = tokens.find(joined);
    if (left_id == tokens.end() || right_id == tokens.end() || merged_id == tokens.end()) {
      return Contradiction(
          fmt::format("merge {} ('{}') needs a token that is not there", rank, Printable(rule)));
    }
    if (into.control[merged_id->second]) continue;  // text never becomes a control token
    into.merges.Add(left_id->second, right_id->second,
                    {static_cast<uint32_t>(rank), merged_id->second});
  }
  return Ok();
}

Result<std::optional<uint32_t>> Loader::TokenId(std::string_view key, uint32_t vocabulary) const {
  if (!file_.Has(key)) return std::optional<uint32_t>();
  CAIRN_TRY(const uint64_t id, file_.Uint(key));
  if (id >= vocabulary) return Contradiction(fmt::format("{} is {}", key, id));
  return std::optional<uint32_t>(static_cast<uint32_t>(id));
}

Status Loader::LoadSpecials(bool add_bos, Vocabulary& into) const {
  const auto vocabulary = static_cast<uint32_t>(into.spelled.size());
  CAIRN_TRY(into.bos, TokenId("tokenizer.ggml.bos_token_id", vocabulary));
  CAIRN_TRY(into.eos, TokenId("tokenizer.ggml.eos_token_id", vocabulary));
  if (into.eos) into.ends.push_back(*into.eos);
  for (const std::string_view spelled : kEnds) {
    const auto found = into.controls.find(spelled);
    if (found != into.controls.end()) into.ends.push_back(found->second);
  }
  CAIRN_TRY(into.add_bos, file_.BoolOr("tokenizer.ggml.add_bos_token", add_bos));
  into.add_bos = into.add_bos && into.bos.has_value();
  return Ok();
}

Status Loader::LoadByteLevel(Vocabulary& into) const {
  std::string pre;
  CAIRN_TRY(into.pretokenizer, MakePretokenizer(&pre));
  CAIRN_TRY(const std::vector<std::string> merges, file_.Strings("tokenizer.ggml.merges"));
  into.merges = BpeMerges(merges.size());
  CAIRN_TRY(const Tokens loaded, LoadTokens(into));
  for (size_t id = 0; id < loaded.spelled.size(); ++id) {
    const std::string& token = loaded.spelled[id];
    if (into.control[id] || loaded.types[id] == kUnused) {
      into.bytes.Add("");
    } else if (loaded.types[id] == kUserDefined) {
      into.bytes.Add(token);
    } else {
      into.bytes.Add(alphabet_.Bytes(token).value_or(token));
    }
  }
  // This family starts with bos unless told not to.
  CAIRN_TRY(LoadSpecials(pre.starts_with("llama"), into));
  TokenMap tokens;
  tokens.reserve(into.spelled.size());
  for (uint32_t id = 0; id < into.spelled.size(); ++id) tokens.emplace(into.spelled[id], id);
  for (size_t byte = 0; byte < 256; ++byte) {
    const auto found = tokens.find(alphabet_.Spelled(byte));
    const bool plain = found != tokens.end() && !into.control[found->second];
    into.byte_tokens[byte] = plain ? found->second : Vocabulary::kNoToken;
  }
  CAIRN_TRY(LoadMerges(merges, tokens, into));
  if (into.pretokenizer->ignore_merges()) {
    for (uint32_t id = 0; id < into.bytes.size(); ++id) {
      if (!into.bytes[id].empty()) into.whole_words.emplace(into.bytes[id], id);
    }
  }
  return Ok();
}

Status Loader::CheckPieces(const Tokens& tokens, const std::vector<float>& scores) const {
  if (scores.size() != tokens.spelled.size()) {
    return Contradiction(fmt::format("{} tokens and {} numbers in tokenizer.ggml.scores",
                                     tokens.spelled.size(), scores.size()));
  }
  std::unordered_set<std::string_view> seen;
  std::array<bool, 256> bytes{};
  for (size_t id = 0; id < scores.size(); ++id) {
    const int64_t type = tokens.types[id];
    if (type != kNormal && type != kUserDefined && type != kByte) continue;
    const std::string& token = tokens.spelled[id];
    const auto problem = [&](std::string_view is) {
      return Contradiction(
          fmt::format("tokenizer.ggml.tokens[{}], '{}', {}", id, Printable(token), is));
    };
    if (!IsUtf8(token)) return problem("is not UTF-8");
    if (token.size() > kMaxPieceBytes) return problem("is longer than 512 bytes");
    if (!seen.insert(token).second) return problem("is there twice");
    if (type == kByte && !LooksLikeByte(token)) return problem("is a byte not spelt as <0x0A> is");
    if (type == kByte) bytes[ByteOf(token)] = true;
    if (type == kNormal && !std::isfinite(scores[id])) {
      return Contradiction(fmt::format("tokenizer.ggml.scores[{}] is {}", id, scores[id]));
    }
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    if (bytes[byte]) continue;
    return Contradiction(
        fmt::format("tokenizer.ggml.tokens has no <0x{:02X}> of the type of bytes", byte));
  }
  return Ok();
}

Status Loader::LoadSentencePieces(Vocabulary& into) const {
  const auto types = file_.Ints("tokenizer.ggml.token_type");  // bytes cannot be told without
  if (!types) return types.error();
  CAIRN_TRY(const std::vector<float> scores, file_.Floats("tokenizer.ggml.scores"));
  CAIRN_TRY(const Tokens tokens, LoadTokens(into));
  CAIRN_TRY(CheckPieces(tokens, scores));
  CAIRN_TRY(LoadSpecials(true, into));
  SentencePieces::Parts parts;
  CAIRN_TRY(parts.space_in_front, file_.BoolOr("tokenizer.ggml.add_space_prefix", true));
  parts.vocabulary = static_cast<uint32_t>(tokens.spelled.size());
  for (uint32_t id = 0; id < parts.vocabulary; ++id) {
    const std::string& token = tokens.spelled[id];
    std::string text;
    switch (into.control[id] ? kControl : tokens.types[id]) {
      case kNormal:
        text = SentencePieces::WithSpaces(token);
        // A space as such is none that text could have: those are U+2581 here.
        if (!token.empty() && token.find(' ') == std::string::npos) {
          parts.pieces.push_back({text, id, scores[id]});
        }
        break;
      case kUserDefined:
        text = token;
        if (!token.empty()) parts.wholes.push_back({token, id});
        break;
      case kByte:
        parts.byte_tokens[ByteOf(token)] = id;
        text = static_cast<char>(ByteOf(token));
        break;
      default:  // never from text, and no text
        break;
    }
    into.bytes.Add(text);
  }
  into.sentence_pieces.emplace(std::move(parts));
  return Ok();
}

Result<std::unique_ptr<Vocabulary>> Loader::Load() {
  CAIRN_TRY(const std::string model, file_.String("tokenizer.ggml.model"));
  auto vocabulary = std::make_unique<Vocabulary>();
  if (model == "gpt2") {
    CAIRN_TRY(LoadByteLevel(*vocabulary));
  } else if (model == "llama") {
    CAIRN_TRY(LoadSentencePieces(*vocabulary));
  } else {
    return Fail(Errc::kUnsupported,
                "the tokenizer of '{}' is of kind '{}'; only byte-level BPE ('gpt2') and "
                "SentencePiece's BPE ('llama') are supported",
                file_.path(), Printable(model));
  }
  return vocabulary;
}

}  // namespace

Result<std::unique_ptr<Vocabulary>> Vocabulary::FromGguf(const GgufFile& file) {
  return Loader(file).Load();
}

}  // namespace cairn
