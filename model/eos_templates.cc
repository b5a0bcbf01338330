#include "model/eos_templates.h"

#include <span>
#include <string>

#include "model/jinja_outputs.h"

namespace cairn {
namespace {

using Term = JinjaOutput::Term;
using Terms = std::span<const Term>;

bool IsLiteral(const Term& term, std::string_view text) {
  return term.literal && term.text == text;
}
bool IsContent(const Term& term) {
  return !term.literal && term.text.find("content") != std::string::npos;
}
bool IsTrimmed(const Term& content) {
  return content.text.ends_with(".strip()") || content.text.ends_with("|trim");
}

/// Takes the first of `terms` off if it is `text`.
bool Take(Terms& terms, std::string_view text) {
  if (terms.empty() || !IsLiteral(terms.front(), text)) return false;
  terms = terms.subspan(1);
  return true;
}

class Reader {
 public:
  Reader(std::string_view source, const Tokenizer& tokenizer, const std::vector<uint32_t>& begin)
      : outputs_(JinjaOutputs(source)), tokenizer_(tokenizer), begin_(begin) {}

  std::optional<TurnFrames> Inst() const;
  std::optional<TurnFrames> Zephyr() const;

 private:
  bool IsEos(const Term& term) const {
    return term.literal ? term.text == tokenizer_.Text(*tokenizer_.eos())
                        : term.text == "eos_token";
  }
  bool FindInstUser(TurnFrames& frames, std::string_view* close) const;
  bool FindInstAnswer(TurnFrames& frames) const;
  const JinjaOutput* FindZephyrTurn(std::string_view open) const;
  bool FindZephyrPrompt(std::string_view open) const;

  std::vector<JinjaOutput> outputs_;
  const Tokenizer& tokenizer_;
  const std::vector<uint32_t>& begin_;
};

/// {{ bos_token + '[INST] ' + message['content'] + ' [/INST]' }}, with or without bos and spaces.
bool Reader::FindInstUser(TurnFrames& frames, std::string_view* close) const {
  for (const JinjaOutput& output : outputs_) {
    Terms terms(output.terms);
    const bool bos = !terms.empty() && !terms[0].literal && terms[0].text == "bos_token";
    if (bos) terms = terms.subspan(1);
    if (terms.size() != 3 || !IsContent(terms[1])) continue;
    std::string_view open = terms[0].literal ? std::string_view(terms[0].text) : "";
    if (open.starts_with(' ')) open.remove_prefix(1);
    if (open != "[INST]" && open != "[INST] ") continue;
    if (!IsLiteral(terms[2], "[/INST]") && !IsLiteral(terms[2], " [/INST]")) continue;
    if (bos && !tokenizer_.bos()) return false;
    FrameTokens tokens(tokenizer_, true);
    if (bos) tokens.AddControl(*tokenizer_.bos());
    tokens.AddMarked("[INST]", "");
    frames.user_open = tokens.ids();
    frames.user = {open.ends_with(' '), tokens.fresh(), IsTrimmed(terms[1]), false};
    if (!bos) frames.begin = begin_;
    *close = terms[2].text;
    return true;
  }
  return false;
}

/// {{ ' ' + message['content'] + ' ' + eos_token }}, with or without spaces.
bool Reader::FindInstAnswer(TurnFrames& frames) const {
  for (const JinjaOutput& output : outputs_) {
    Terms terms(output.terms);
    TurnContent content;
    content.space = Take(terms, " ");
    if (terms.empty() || !IsContent(terms[0])) continue;
    content.trimmed = IsTrimmed(terms[0]);
    terms = terms.subspan(1);
    content.space_behind = Take(terms, " ");
    if (terms.empty() || !IsEos(terms[0])) continue;
    terms = terms.subspan(1);
    Take(terms, " ");  // in front of the next [INST], where the vocabulary has it
    if (!terms.empty()) continue;
    frames.answer = content;
    return true;
  }
  return false;
}

std::optional<TurnFrames> Reader::Inst() const {
  TurnFrames frames;
  std::string_view close;
  if (!FindInstUser(frames, &close) || !FindInstAnswer(frames)) return std::nullopt;
  frames.opening = frames.begin;
  frames.opening.insert(frames.opening.end(), frames.user_open.begin(), frames.user_open.end());
  FrameTokens tokens(tokenizer_, false);
  const std::optional<uint32_t> control = tokenizer_.Control("[/INST]");
  if (control) {
    tokens.AddText(close.starts_with(' ') ? " " : "");
    tokens.AddControl(*control);
  } else {
    tokens.AddText(close);
  }
  frames.assistant_open = tokens.ids();
  frames.answer.at_start = tokens.fresh();
  frames.answer_has_space = frames.answer.space || tokenizer_.space_in_front();
  frames.answer_close = {*tokenizer_.eos()};
  return frames;
}

/// {{ '<|user|>\n' + message['content'] + eos_token }}
const JinjaOutput* Reader::FindZephyrTurn(std::string_view open) const {
  for (const JinjaOutput& output : outputs_) {
    const Terms terms(output.terms);
    const bool found = terms.size() == 3 && IsLiteral(terms[0], std::string(open) + "\n") &&
                       IsContent(terms[1]) && IsEos(terms[2]);
    if (found) return &output;
  }
  return nullptr;
}

/// {{ '<|assistant|>' }} and a line break, in the string or behind it.
bool Reader::FindZephyrPrompt(std::string_view open) const {
  for (const JinjaOutput& output : outputs_) {
    if (output.terms.size() != 1 || !output.terms[0].literal) continue;
    if (output.terms[0].text + output.after == std::string(open) + "\n") return true;
  }
  return false;
}

std::optional<TurnFrames> Reader::Zephyr() const {
  constexpr std::string_view kUser = "<|user|>", kAssistant = "<|assistant|>";
  const JinjaOutput* user = FindZephyrTurn(kUser);
  const JinjaOutput* answer = FindZephyrTurn(kAssistant);
  if (user == nullptr || answer == nullptr || !FindZephyrPrompt(kAssistant)) return std::nullopt;
  const auto close = [&](std::string_view after) {
    FrameTokens tokens(tokenizer_, false);
    tokens.AddControl(*tokenizer_.eos());
    tokens.AddText(after);
    return tokens;
  };
  const auto open = [&](std::string_view mark, bool fresh) {
    FrameTokens tokens(tokenizer_, fresh);
    tokens.AddMarked(mark, "\n");
    return tokens.ids();
  };
  const FrameTokens user_close = close(user->after), answer_close = close(answer->after);
  TurnFrames frames;
  frames.begin = frames.opening = begin_;
  const std::vector<uint32_t> first = open(kUser, true);
  frames.opening.insert(frames.opening.end(), first.begin(), first.end());
  frames.user_close = user_close.ids();
  frames.assistant_open = open(kAssistant, user_close.fresh());
  frames.answer_close = answer_close.ids();
  frames.user_open = open(kUser, answer_close.fresh());
  frames.user.trimmed = IsTrimmed(user->terms[1]);
  frames.answer.trimmed = IsTrimmed(answer->terms[1]);
  return frames;
}

}  // namespace

std::optional<TurnFrames> FramesOfEosTemplate(std::string_view source, const Tokenizer& tokenizer,
                                              const std::vector<uint32_t>& begin) {
  // Templates of Llama 2 may have a system prompt of their own behind this condition.
  const bool own_system = source.find("true == true") != std::string_view::npos;
  if (!tokenizer.eos() || own_system) return std::nullopt;
  const Reader reader(source, tokenizer, begin);
  std::optional<TurnFrames> frames = reader.Inst();
  return frames ? frames : reader.Zephyr();
}

}  // namespace cairn
