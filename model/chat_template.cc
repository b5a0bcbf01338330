#include "model/chat_template.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "model/eos_templates.h"
#include "model/jinja_text.h"
#include "model/system_turn.h"

namespace cairn {
namespace {

/// How a family writes one turn: open + role + opened ... close + closed.
struct Shape {
  std::string_view name;
  std::string_view open;         ///< control token before the role
  std::string_view opened;       ///< control token after the role; empty if there is none
  std::string_view opened_text;  ///< text between that and the content
  std::string_view close;        ///< control token that ends the turn
  std::string_view closed_text;  ///< text after it
};

constexpr std::array<Shape, 2> kShapes{{
    {"ChatML", "<|im_start|>", "", "\n", "<|im_end|>", "\n"},
    {"Llama 3", "<|start_header_id|>", "<|end_header_id|>", "\n\n", "<|eot_id|>", ""},
}};

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

const Shape* FindShape(std::string_view text) {
  for (const Shape& shape : kShapes) {
    if (Contains(text, shape.open) && Contains(text, shape.close)) return &shape;
  }
  return nullptr;
}

/// Takes one character of a Jinja string literal off `text`, undoing its escape.
char TakeCharacter(std::string_view& text) {
  const char c = text.front();
  text.remove_prefix(1);
  if (c != '\\' || text.empty()) return c;
  const char escaped = text.front();
  text.remove_prefix(1);
  return escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped == 'r' ? '\r' : escaped;
}

/// If `text`, which starts inside a string literal, begins with `expected` (escapes undone), takes
/// it off.
bool TakeExpected(std::string_view& text, std::string_view expected) {
  std::string_view rest = text;
  for (const char c : expected) {
    if (rest.empty() || TakeCharacter(rest) != c) return false;
  }
  text = rest;
  return true;
}

/// The text of the first system turn that stands in the template as one string literal from its
/// opening to its closing token: the prompt for conversations that bring none.
std::string DefaultSystem(std::string_view source, const Shape& shape) {
  for (size_t at = source.find(shape.open); at != std::string_view::npos;
       at = source.find(shape.open, at + 1)) {
    const char quote = at == 0 ? '\0' : source[at - 1];
    std::string_view rest = source.substr(at + shape.open.size());
    if (!TakeExpected(rest, "system") || !TakeExpected(rest, shape.opened) ||
        !TakeExpected(rest, shape.opened_text)) {
      continue;
    }
    std::string content;
    while (!rest.empty() && !rest.starts_with(shape.close)) {
      if (rest.front() == quote || rest.starts_with("{{") || rest.starts_with("{%")) break;
      content += TakeCharacter(rest);
    }
    if (rest.starts_with(shape.close) && !content.empty()) return content;
  }
  return {};
}

/// Puts together the tokens of turns of one shape.
class TurnMaker {
 public:
  static Result<TurnMaker> Make(const GgufFile& file, const Tokenizer& tokenizer,
                                const Shape& shape) {
    TurnMaker maker(tokenizer, shape);
    CAIRN_TRY(maker.open_, maker.Required(file, shape.open));
    CAIRN_TRY(maker.close_, maker.Required(file, shape.close));
    if (!shape.opened.empty()) {
      CAIRN_TRY(maker.opened_, maker.Required(file, shape.opened));
    }
    return maker;
  }

  std::vector<uint32_t> Open(std::string_view role) const {
    FrameTokens tokens(*tokenizer_, true);
    tokens.AddControl(open_);
    if (opened_) {
      tokens.AddText(role);
      tokens.AddControl(*opened_);
      tokens.AddText(shape_->opened_text);
    } else {
      tokens.AddText(std::string(role) + std::string(shape_->opened_text));
    }
    return tokens.ids();
  }

  std::vector<uint32_t> Close() const {
    FrameTokens tokens(*tokenizer_, false);
    tokens.AddControl(close_);
    tokens.AddText(shape_->closed_text);
    return tokens.ids();
  }

 private:
  TurnMaker(const Tokenizer& tokenizer, const Shape& shape)
      : tokenizer_(&tokenizer), shape_(&shape) {}

  Result<uint32_t> Required(const GgufFile& file, std::string_view text) const {
    const std::optional<uint32_t> id = tokenizer_->Control(text);
    if (id) return *id;
    return Fail(Errc::kUnsupported,
                "the chat template of '{}' is {} but its vocabulary has no control token '{}'; "
                "--raw works without a template",
                file.path(), shape_->name, text);
  }

  const Tokenizer* tokenizer_;
  const Shape* shape_;
  uint32_t open_ = 0;
  uint32_t close_ = 0;
  std::optional<uint32_t> opened_;
};

void Append(const std::vector<uint32_t>& more, std::vector<uint32_t>& ids) {
  ids.insert(ids.end(), more.begin(), more.end());
}

}  // namespace

Result<ChatTemplate> ChatTemplate::FromGguf(const GgufFile& file, const Tokenizer& tokenizer) {
  CAIRN_TRY(const std::string source, file.StringOr("tokenizer.chat_template", ""));
  if (source.empty()) {
    return Fail(Errc::kUnsupported,
                "'{}' has no chat template, so it is no chat model; --raw works without one",
                file.path());
  }
  ChatTemplate made;
  std::vector<uint32_t> begin;
  const bool wants_bos = tokenizer.add_bos() || Contains(source, "bos_token");
  if (wants_bos && tokenizer.bos()) begin.push_back(*tokenizer.bos());
  const Shape* shape = FindShape(source);
  if (shape == nullptr) {
    std::optional<TurnFrames> frames = FramesOfEosTemplate(source, tokenizer, begin);
    if (!frames) {
      return Fail(Errc::kUnsupported,
                  "the chat template of '{}' is none of those that cairn knows (ChatML, Llama 3, "
                  "Llama 2, Mistral, Zephyr); --raw works without one",
                  file.path());
    }
    made.frames_ = std::move(*frames);
    made.marks_system_ = Contains(source, "<<SYS>>");
    return made;
  }
  CAIRN_TRY(const TurnMaker turns, TurnMaker::Make(file, tokenizer, *shape));
  made.default_system_ = DefaultSystem(source, *shape);
  if (made.default_system_.empty()) {
    const std::string open =
        fmt::format("{}system{}{}", shape->open, shape->opened, shape->opened_text);
    made.default_system_ =
        SystemTurn(source, open, fmt::format("{}{}", shape->close, shape->closed_text));
  }
  TurnFrames& frames = made.frames_;
  frames.user_close = frames.answer_close = turns.Close();
  frames.begin = begin;
  if (!made.default_system_.empty()) {
    Append(turns.Open("system"), frames.begin);
    Append(tokenizer.Encode(made.default_system_), frames.begin);
    Append(frames.user_close, frames.begin);
  }
  frames.user_open = turns.Open("user");
  frames.opening = frames.begin;
  Append(frames.user_open, frames.opening);
  frames.assistant_open = turns.Open("assistant");
  return made;
}

std::vector<uint32_t> ChatTemplate::AnswerText(const Tokenizer& tokenizer,
                                               std::string_view text) const {
  const TurnContent& answer = frames_.answer;
  std::vector<uint32_t> ids = answer.Encode(tokenizer, answer.trimmed ? TrimmedJinja(text) : text);
  if (answer.space_behind) Append(tokenizer.Encode(" "), ids);
  return ids;
}

std::string ChatTemplate::WithSystem(const std::string& system, const std::string& text) const {
  if (system.empty()) return text;
  if (marks_system_) return "<<SYS>>\n" + system + "\n<</SYS>>\n\n" + text;
  return system + "\n\n" + text;
}

std::string_view ChatTemplate::Trimmed(std::string_view text) const {
  return frames_.user.trimmed ? TrimmedJinja(text) : text;
}

}  // namespace cairn
