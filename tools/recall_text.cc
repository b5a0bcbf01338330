#include "tools/recall_text.h"

#include "tools/planted_text.h"
#include "tools/reader.h"

namespace cairn {

RecallText PlainRecallText(const LoadedModel& model, const std::string& text, int64_t tokens) {
  RecallText made{model.tokenizer().EncodeAtStart(text)};
  if (std::ssize(made.tokens) > tokens) made.tokens.resize(static_cast<size_t>(tokens));
  made.asked_from = std::ssize(made.tokens);
  return made;
}

Result<RecallText> PlantedRecallText(const LoadedModel& model, const std::string& text,
                                     int64_t tokens, int facts) {
  const Tokenizer& tokenizer = model.tokenizer();
  CAIRN_TRY(const ChatTemplate chat, model.Template());
  CAIRN_TRY(auto opening, Reader::Opening(model, false, true, true));
  const Filler filler = Filler::Text(tokenizer, text);
  if (filler.size() == 0) return Fail(Errc::kInvalidArgument, "the text holds no tokens");
  const TextPlanter planter(tokenizer, filler, std::move(opening),
                            {.depths = facts, .facts = facts});
  CAIRN_TRY(PlantedText planted, planter.Make(tokens, 0));
  RecallText made{std::move(planted.tokens)};
  made.asked_from = std::ssize(made.tokens);
  const auto add = [&made](const std::vector<uint32_t>& more) {
    made.tokens.insert(made.tokens.end(), more.begin(), more.end());
  };
  for (const Planting& planting : planted.plantings) {
    const bool first = &planting == planted.plantings.data();
    if (!first) add(chat.UserOpen());
    add(first ? tokenizer.Encode("\n\n" + planting.fact.question)
              : chat.UserText(tokenizer, planting.fact.question));
    add(chat.UserClose());
    add(chat.AssistantOpen());
    add(chat.AnswerText(tokenizer, planting.fact.sentences.back()));
    add(chat.AnswerClose());
  }
  return made;
}

}  // namespace cairn
