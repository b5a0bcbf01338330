#include "tools/conversation.h"

#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "base/plain_text.h"
#include "tools/interrupt.h"
#include "tools/text_file.h"

namespace cairn {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kLoggedQuestionRows = 256;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void Append(std::vector<uint32_t>* target, const std::vector<uint32_t>& tokens) {
  target->insert(target->end(), tokens.begin(), tokens.end());
}

}  // namespace

void PrintAnswer(std::string_view piece) {
  if (IsTerminal(STDOUT_FILENO)) {
    fmt::print("{}", ForTerminal(piece, Lines::kKeep));
  } else {
    fmt::print("{}", piece);
  }
  std::fflush(stdout);
}

Result<Conversation> Conversation::Open(Workspace& workspace) {
  if (workspace.profile().raw) return OpenPlain(workspace);
  CAIRN_TRY(workspace.model().PackForDecode());
  CAIRN_TRY(auto chat, workspace.model().Template());
  return Conversation(workspace, std::move(chat));
}

Result<Conversation> Conversation::OpenPlain(Workspace& workspace) {
  CAIRN_TRY(workspace.model().PackForDecode());
  return Conversation(workspace, std::nullopt);
}

std::vector<uint32_t> Conversation::Frame(std::span<const Turn> turns) const {
  const Tokenizer& tokenizer = workspace_.model().tokenizer();
  std::vector<uint32_t> tokens;
  if (!chat_.has_value()) {
    const bool first = workspace_.session().tokens() == 0;
    if (first && tokenizer.add_bos() && tokenizer.bos()) tokens.push_back(*tokenizer.bos());
    const Turn& turn = turns.back();
    const std::string text = turn.system.empty() ? turn.text : turn.system + "\n\n" + turn.text;
    Append(&tokens, first ? tokenizer.EncodeAtStart(text) : tokenizer.Encode(text));
    return tokens;
  }
  bool open = workspace_.profile().turn_open;  // a user's turn, behind a text
  bool first = !open && workspace_.session().tokens() == 0;
  for (const Turn& turn : turns) {
    if (open && turn.by_model) Append(&tokens, chat_->UserClose());
    if (turn.by_model) {
      if (first) Append(&tokens, chat_->Begin());
      Append(&tokens, chat_->AssistantOpen());
      Append(&tokens, chat_->AnswerText(tokenizer, turn.text));
      Append(&tokens, chat_->AnswerClose());
    } else {
      const std::string said = chat_->WithSystem(turn.system, turn.text);
      const std::string_view text = chat_->Trimmed(said);
      if (open) {
        Append(&tokens, tokenizer.Encode("\n\n" + std::string(text)));
      } else {
        Append(&tokens, first ? chat_->Opening() : chat_->UserOpen());
        Append(&tokens, chat_->UserText(tokenizer, text));
      }
      Append(&tokens, chat_->UserClose());
    }
    open = first = false;
  }
  Append(&tokens, chat_->AssistantOpen());
  return tokens;
}

Result<uint32_t> Conversation::FeedAndRecord(const std::vector<uint32_t>& tokens, Sampler* sampler,
                                             StepKind kind) {
  Runner& runner = workspace_.runner();
  uint32_t next = 0;
  for (std::span<const uint32_t> rest(tokens); !rest.empty();) {
    const auto count = static_cast<size_t>(runner.NextStep(rest));
    if (sampler != nullptr && count == rest.size()) {
      CAIRN_TRY(runner.Feed(rest, *sampler, &next, kind));
    } else {
      CAIRN_TRY(runner.Feed(rest.first(count), nullptr, kind));
    }
    rest = rest.subspan(count);
    if (!rest.empty() && Interrupted()) {
      return Fail(Errc::kInterrupted, "stopped; the session is as it was");
    }
    if (!rest.empty() && ShouldEnd()) {
      return Fail(Errc::kInterrupted, "nobody waits for the answer any more");
    }
  }
  workspace_.session().AddTokens(tokens);
  RunCounters& counters = workspace_.counters();
  (kind == StepKind::kDecode ? counters.tokens_generated : counters.tokens_read) += tokens.size();
  return next;
}

Result<Answer> Conversation::Generate(uint32_t first, int64_t max_tokens, Sampler& sampler,
                                      const Sink& sink) {
  LoadedModel& model = workspace_.model();
  Answer answer;
  std::string waiting;  // bytes of a character that is not complete yet
  bool spaced = chat_.has_value() && chat_->answer_has_space();
  const auto start = Clock::now();
  answer.cut = true;
  uint32_t token = first;
  while (answer.answer_tokens < max_tokens) {
    if (Interrupted()) return Fail(Errc::kInterrupted, "stopped; the session is as it was");
    if (model.tokenizer().IsEnd(token) || ShouldEnd()) {
      answer.cut = false;
      break;
    }
    ++answer.answer_tokens;
    answer.tokens.push_back(token);
    answer.texts.push_back(model.tokenizer().Decode(token));
    waiting += answer.texts.back();
    if (spaced && !waiting.empty()) {
      if (waiting.front() == ' ') waiting.erase(0, 1);
      spaced = false;
    }
    const size_t complete = CompleteUtf8(waiting);
    sink(std::string_view(waiting).substr(0, complete));
    answer.text += waiting.substr(0, complete);
    waiting.erase(0, complete);
    CAIRN_TRY(token, FeedAndRecord({token}, &sampler, StepKind::kDecode));
  }
  sink(waiting);
  answer.text += waiting;
  if (answer.answer_tokens > 0) {
    answer.seconds_per_token = SecondsSince(start) / static_cast<double>(answer.answer_tokens);
  }
  return answer;
}

Result<Answer> Conversation::Ask(const std::string& question, int64_t max_tokens, Sampler& sampler,
                                 const Sink& sink, StepLog* log) {
  const Turn turn{.text = question};
  return AskAfter({&turn, 1}, max_tokens, sampler, sink, log);
}

Result<Answer> Conversation::AskAfter(std::span<const Turn> turns, int64_t max_tokens,
                                      Sampler& sampler, const Sink& sink, StepLog* log) {
  if (!chat_.has_value() && turns.size() > 1) {
    return Fail(Errc::kUnsupported,
                "a raw session is plain text without turns; say one thing at a time");
  }
  CAIRN_TRY(workspace_.ChoosePerToken());
  CAIRN_TRY(CloseAnswer());
  Session& session = workspace_.session();
  session.Observe(log);
  session.Certify(mass_log_);
  auto answer = AskObserved(turns, max_tokens, sampler, sink, log);
  session.Observe(nullptr);
  session.Certify(nullptr);
  return answer;
}

Result<Answer> Conversation::AskObserved(std::span<const Turn> turns, int64_t max_tokens,
                                         Sampler& sampler, const Sink& sink, StepLog* log) {
  const auto start = Clock::now();
  const std::vector<uint32_t> tokens = Frame(turns);
  if (tokens.empty()) return Fail(Errc::kInvalidArgument, "the text to go on from is empty");
  if (log != nullptr) {
    log->from_row = workspace_.session().rows() + std::ssize(tokens) - kLoggedQuestionRows;
  }
  if (mass_log_ != nullptr) {  // from the question's last token on, before which landmarks may come
    mass_log_->heads.clear();
    mass_log_->from_row = workspace_.session().rows() + std::ssize(tokens) - 1;
  }
  CAIRN_TRY(const uint32_t next, FeedAndRecord(tokens, &sampler));
  const double first = SecondsSince(start);
  const int64_t first_token = workspace_.session().tokens();
  CAIRN_TRY(auto made, Generate(next, max_tokens, sampler, sink));
  made.first_token = first_token;
  made.question_tokens = std::ssize(tokens);
  made.seconds_to_first = first;
  answer_open_ = true;
  if (chat_.has_value()) workspace_.profile().turn_open = false;
  return made;
}

Status Conversation::CloseAnswer() {
  if (!answer_open_) return Ok();
  answer_open_ = false;
  if (chat_.has_value()) CAIRN_TRY(FeedAndRecord(chat_->AnswerClose(), nullptr));
  return Ok();
}

Status Conversation::Keep() {
  CAIRN_TRY(CloseAnswer());
  workspace_.profile().EndText(workspace_.session().committed_tokens());
  return workspace_.Commit();
}

Status Conversation::Forget() {
  answer_open_ = false;
  CAIRN_TRY(auto profile, SessionProfile::FromJson(workspace_.session().properties()));
  workspace_.profile() = std::move(profile);
  return workspace_.session().Revert();
}

}  // namespace cairn
