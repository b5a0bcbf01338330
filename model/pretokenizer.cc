#include "model/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/utf8.h"

namespace cairn {
namespace {

// Unicode's White_Space, spelt out because PCRE2's own \s has U+180E too. For use inside [].
#define CAIRN_SPACE                                            \
  "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}" \
  "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

// "'s|'t|..." and the like: what is neither space nor letter nor number, in runs.
#define CAIRN_OTHERS "[^" CAIRN_SPACE "\\p{L}\\p{N}]+"

// In all of them: spaces followed by a word leave their last one to it.
constexpr const char* kGpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?" CAIRN_OTHERS
                              "|[" CAIRN_SPACE "]+(?![^" CAIRN_SPACE "])|[" CAIRN_SPACE "]+";

// First every number character alone, then kGpt2 on what lies between; so numbers end a run of
// spaces as the end of the text does.
constexpr const char* kSmollm =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+|\\p{N}| ?" CAIRN_OTHERS "|[" CAIRN_SPACE
    "]+(?![^" CAIRN_SPACE "\\p{N}])|[" CAIRN_SPACE "]+";

// Llama 3 and Qwen 2 differ in how many digits go together.
#define CAIRN_LLAMA_LIKE(numbers)                                                                \
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers "| ?" CAIRN_OTHERS       \
  "[\\r\\n]*|[" CAIRN_SPACE "]*[\\r\\n]+|[" CAIRN_SPACE "]+(?![^" CAIRN_SPACE "])|[" CAIRN_SPACE \
  "]+"
constexpr const char* kLlamaBpe = CAIRN_LLAMA_LIKE("\\p{N}{1,3}");
constexpr const char* kQwen2 = CAIRN_LLAMA_LIKE("\\p{N}");

struct Family {
  std::string_view name;
  const char* pattern;
  bool ignore_merges;
};
constexpr std::array<Family, 6> kFamilies{{
    {"smollm", kSmollm, false},
    {"gpt-2", kGpt2, false},
    {"llama-bpe", kLlamaBpe, true},
    {"llama3", kLlamaBpe, true},
    {"llama-v3", kLlamaBpe, true},
    {"qwen2", kQwen2, false},
}};

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

/// Bytes of the UTF-8 character at the start of `text`, which is not empty; 0 if there is none.
size_t CharacterBytes(std::string_view text) {
  const Utf8Character first = FirstCharacter(text);
  return first.code == kNoCharacter ? 0 : first.bytes;
}

/// Length of the longest start of `text` that is UTF-8.
size_t ValidPrefix(std::string_view text) {
  size_t end = 0;
  while (end < text.size()) {
    uint64_t word;
    if (text.size() - end >= sizeof(word)) {
      std::memcpy(&word, text.data() + end, sizeof(word));
      if ((word & 0x8080808080808080u) == 0) {
        end += sizeof(word);
        continue;
      }
    }
    const size_t bytes = CharacterBytes(text.substr(end));
    if (bytes == 0) break;
    end += bytes;
  }
  return end;
}

/// Length of the longest start of `text` without a UTF-8 character.
size_t InvalidPrefix(std::string_view text) {
  size_t end = 0;
  while (end < text.size() && CharacterBytes(text.substr(end)) == 0) ++end;
  return end;
}

}  // namespace

struct Pretokenizer::State {
  std::unique_ptr<pcre2_code, FreeCode> code;
  std::unique_ptr<pcre2_match_context, FreeContext> context;
  bool ignore_merges = false;

  /// End of the piece of valid UTF-8 `text` that starts at `start`.
  size_t PieceEnd(std::string_view text, size_t start, pcre2_match_data* match) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    int found = pcre2_match(code.get(), subject, text.size(), start, PCRE2_NO_UTF_CHECK, match,
                            context.get());
    if (found < 0) {  // the compiled matcher ran out of its stack; the interpreter has a heap
      found = pcre2_match(code.get(), subject, text.size(), start,
                          PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match, context.get());
    }
    CAIRN_CHECK(found > 0);  // every pattern has a branch for every character
    const size_t end = pcre2_get_ovector_pointer(match)[1];
    CAIRN_CHECK(end > start);
    return end;
  }
};

Pretokenizer::Pretokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Pretokenizer::~Pretokenizer() = default;
Pretokenizer::Pretokenizer(Pretokenizer&&) noexcept = default;
Pretokenizer& Pretokenizer::operator=(Pretokenizer&&) noexcept = default;

Result<Pretokenizer> Pretokenizer::Make(std::string_view name) {
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.name == name) {
      int error = 0;
      PCRE2_SIZE offset = 0;
      auto state = std::make_unique<State>();
      state->ignore_merges = family.ignore_merges;
      state->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(family.pattern),
                                      PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED,
                                      &error, &offset, nullptr));
      if (state->code == nullptr) {
        return Fail(Errc::kUnsupported,
                    "this PCRE2 library cannot compile the pattern of '{}' (error {} at {}); "
                    "build it with Unicode support",
                    name, error, offset);
      }
      pcre2_jit_compile(state->code.get(), PCRE2_JIT_COMPLETE);  // without it: slower, the same
      state->context.reset(pcre2_match_context_create(nullptr));
      pcre2_set_match_limit(state->context.get(), UINT32_MAX);
      return Pretokenizer(std::move(state));
    }
    known += fmt::format("{}{}", known.empty() ? "" : ", ", family.name);
  }
  return Fail(Errc::kUnsupported, "the pre-tokenizer '{}' is not known; known are {}", name, known);
}

void Pretokenizer::Split(std::string_view text, FunctionRef<void(std::string_view)> piece) const {
  const std::unique_ptr<pcre2_match_data, FreeMatch> match(
      pcre2_match_data_create_from_pattern(state_->code.get(), nullptr));
  CAIRN_CHECK(match != nullptr);
  while (!text.empty()) {
    const std::string_view valid = text.substr(0, ValidPrefix(text));
    for (size_t start = 0; start < valid.size();) {
      const size_t end = state_->PieceEnd(valid, start, match.get());
      piece(valid.substr(start, end - start));
      start = end;
    }
    text.remove_prefix(valid.size());
    if (const size_t invalid = InvalidPrefix(text); invalid > 0) {
      piece(text.substr(0, invalid));
      text.remove_prefix(invalid);
    }
  }
}

bool Pretokenizer::ignore_merges() const { return state_->ignore_merges; }

}  // namespace cairn
