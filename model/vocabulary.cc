#include "model/vocabulary.h"

#include <utility>

#include "model/gguf_parser.h"

namespace cairn {
namespace {

constexpr uint64_t kMaxVocabulary = 1u << 24;

// Values of tokenizer.ggml.token_type.
enum TokenType : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5 };

/// The byte that each character of GPT-2's printable alphabet stands for. Printable bytes of
/// Latin-1 stand for themselves; the others, in order, are the characters from U+0100 on.
class ByteAlphabet {
 public:
  ByteAlphabet() {
    bytes_.fill(-1);
    int next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const bool itself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
      const int character = itself ? byte : next++;
      bytes_[static_cast<size_t>(character)] = byte;
      const auto code = static_cast<uint32_t>(character);
      std::string& spelled = spelled_[static_cast<size_t>(byte)];
      if (code < 0x80) {
        spelled = static_cast<char>(code);
      } else {
        spelled = {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 63))};
      }
    }
  }

  /// How the alphabet spells one byte.
  const std::string& Spelled(size_t byte) const { return spelled_[byte]; }

  /// The bytes of a token; nothing if it uses a character outside the alphabet.
  std::optional<std::string> Bytes(std::string_view token) const {
    std::string bytes;
    for (size_t i = 0; i < token.size(); ++i) {
      uint32_t code = static_cast<uint8_t>(token[i]);
      if (code >= 0x80) {
        if ((code & 0xe0u) != 0xc0u || i + 1 == token.size()) return std::nullopt;
        code = (code & 31u) << 6 | (static_cast<uint8_t>(token[++i]) & 63u);
      }
      if (code >= bytes_.size() || bytes_[code] < 0) return std::nullopt;
      bytes += static_cast<char>(bytes_[code]);
    }
    return bytes;
  }

 private:
  std::array<int, 324> bytes_{};  // 256 + the 68 that do not stand for themselves
  std::array<std::string, 256> spelled_;
};

/// Control tokens that end a text or a turn, wherever a vocabulary has them.
constexpr std::array<std::string_view, 5> kEnds{"<|endoftext|>", "<|end_of_text|>", "<|im_end|>",
                                                "<|eot_id|>", "<|eom_id|>"};

bool LooksLikeControl(std::string_view token) {
  return token.starts_with("<|") && token.ends_with("|>");
}

class Loader {
 public:
  explicit Loader(const GgufFile& file) : file_(file) {}

  Result<std::unique_ptr<Vocabulary>> Load();

 private:
  using TokenMap = std::unordered_map<std::string_view, uint32_t>;

  Error Contradiction(std::string_view problem) const {
    return Fail(Errc::kCorruption,
                "the vocabulary of '{}' contradicts itself: {}; convert it again", file_.path(),
                problem);
  }
  Result<Pretokenizer> MakePretokenizer(std::string* name) const;
  Status LoadTokens(Vocabulary& into) const;
  Status LoadMerges(const std::vector<std::string>& merges, const TokenMap& tokens,
                    Vocabulary& into) const;
  Status LoadSpecials(std::string_view pre, Vocabulary& into) const;
  Result<std::optional<uint32_t>> TokenId(std::string_view key, uint32_t vocabulary) const;

  const GgufFile& file_;
  const ByteAlphabet alphabet_;
};

Result<Pretokenizer> Loader::MakePretokenizer(std::string* name) const {
  CAIRN_TRY(const std::string model, file_.String("tokenizer.ggml.model"));
  if (model != "gpt2") {
    return Fail(Errc::kUnsupported,
                "the tokenizer of '{}' is of kind '{}'; only byte-level BPE ('gpt2') is supported",
                file_.path(), Printable(model));
  }
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

Status Loader::LoadTokens(Vocabulary& into) const {
  CAIRN_TRY(const std::vector<std::string> tokens, file_.Strings("tokenizer.ggml.tokens"));
  std::vector<int64_t> types(tokens.size(), kNormal);
  if (file_.Has("tokenizer.ggml.token_type")) {
    CAIRN_TRY(types, file_.Ints("tokenizer.ggml.token_type"));
  }
  if (tokens.empty() || tokens.size() > kMaxVocabulary || types.size() != tokens.size()) {
    return Contradiction(fmt::format("{} tokens and {} token types", tokens.size(), types.size()));
  }
  size_t bytes = 0;
  for (const std::string& token : tokens) bytes += token.size();
  into.spelled.Reserve(tokens.size(), bytes);
  into.bytes.Reserve(tokens.size(), bytes);
  into.control.resize(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    const std::string& token = tokens[id];
    const int64_t type = types[id];
    // Some converters call control tokens "user defined"; their spelling gives them away.
    const bool control =
        type == kControl || type == kUnknown || (type == kUserDefined && LooksLikeControl(token));
    into.control[id] = control;
    if (control) into.controls.emplace(token, static_cast<uint32_t>(id));
    into.spelled.Add(token);
    if (control || type == kUnused) {
      into.bytes.Add("");
    } else if (type == kUserDefined) {
      into.bytes.Add(token);
    } else {
      into.bytes.Add(alphabet_.Bytes(token).value_or(token));
    }
  }
  return Ok();
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

Status Loader::LoadSpecials(std::string_view pre, Vocabulary& into) const {
  const auto vocabulary = static_cast<uint32_t>(into.spelled.size());
  CAIRN_TRY(into.bos, TokenId("tokenizer.ggml.bos_token_id", vocabulary));
  CAIRN_TRY(into.eos, TokenId("tokenizer.ggml.eos_token_id", vocabulary));
  if (into.eos) into.ends.push_back(*into.eos);
  for (const std::string_view spelled : kEnds) {
    const auto found = into.controls.find(spelled);
    if (found != into.controls.end()) into.ends.push_back(found->second);
  }
  const bool llama = pre.starts_with("llama");  // this family starts with bos unless told not to
  CAIRN_TRY(into.add_bos, file_.BoolOr("tokenizer.ggml.add_bos_token", llama));
  into.add_bos = into.add_bos && into.bos.has_value();
  return Ok();
}

Result<std::unique_ptr<Vocabulary>> Loader::Load() {
  std::string pre;
  CAIRN_TRY(Pretokenizer pretokenizer, MakePretokenizer(&pre));
  CAIRN_TRY(const std::vector<std::string> merges, file_.Strings("tokenizer.ggml.merges"));
  auto vocabulary = std::make_unique<Vocabulary>(std::move(pretokenizer), merges.size());
  CAIRN_TRY(LoadTokens(*vocabulary));
  CAIRN_TRY(LoadSpecials(pre, *vocabulary));
  TokenMap tokens;
  tokens.reserve(vocabulary->spelled.size());
  for (uint32_t id = 0; id < vocabulary->spelled.size(); ++id)
    tokens.emplace(vocabulary->spelled[id], id);
  for (size_t byte = 0; byte < 256; ++byte) {
    const auto found = tokens.find(alphabet_.Spelled(byte));
    const bool plain = found != tokens.end() && !vocabulary->control[found->second];
    vocabulary->byte_tokens[byte] = plain ? found->second : Vocabulary::kNoToken;
  }
  CAIRN_TRY(LoadMerges(merges, tokens, *vocabulary));
  if (vocabulary->pretokenizer.ignore_merges()) {
    for (uint32_t id = 0; id < vocabulary->bytes.size(); ++id) {
      if (!vocabulary->bytes[id].empty())
        vocabulary->whole_words.emplace(vocabulary->bytes[id], id);
    }
  }
  return vocabulary;
}

}  // namespace

Result<std::unique_ptr<Vocabulary>> Vocabulary::FromGguf(const GgufFile& file) {
  return Loader(file).Load();
}

}  // namespace cairn
