#include "tools/answer_desk.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/hash.h"
#include "tools/answer_sources.h"
#include "tools/conversation.h"
#include "tools/interrupt.h"
#include "tools/stop_words.h"
#include "tools/why_json.h"

namespace cairn {
namespace {

constexpr std::chrono::milliseconds kLook{50};  // how often those who wait look up
constexpr size_t kWhyPassages = 5;
constexpr int64_t kMostScratchTokens = int64_t{1} << 30;

/// Equal for sessions with the same content: a store in the place of another counts as it did, so
/// that numbers of sessions and commits say little. Sealed blocks are in the properties' chain.
Result<std::string> StateOf(const SessionCatalog& catalog, const SessionRecord& record) {
  CAIRN_TRY(const std::string tail, catalog.ReadTail(record));
  Hasher hasher;
  hasher.Update(fmt::format("{} {} {} ", record.id, record.commits, record.properties.size()));
  hasher.Update(record.properties);
  hasher.Update(tail);
  return hasher.Hex();
}

bool SeemsDamaged(const Result<AnswerEnd>& end) {
  return !end.has_value() &&
         (end.error().code == Errc::kCorruption || end.error().code == Errc::kIo);
}

}  // namespace

Result<std::unique_ptr<AnswerDesk>> AnswerDesk::Open(const Flags& flags,
                                                     const AnswerDeskLimits& limits) {
  std::unique_ptr<AnswerDesk> desk(new AnswerDesk(flags, limits));
  CAIRN_TRY(desk->model_, flags.OpenModel());
  desk->loaded_ = desk->model_.get();
  desk->fingerprint_ = desk->loaded_->file().Fingerprint();
  CAIRN_TRY(const auto engine_options, flags.ToEngineOptions());
  CAIRN_TRY(desk->model_->LoadWeights(engine_options.device));
  CAIRN_TRY(desk->model_->PackForDecode());
  desk->thread_ = std::thread([raw = desk.get()] { raw->Work(); });
  return desk;
}

AnswerDesk::~AnswerDesk() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    for (auto& [number, ticket] : tickets_) ticket->given_up = true;
  }
  work_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool AnswerDesk::IsForThis(const std::string& name, const SessionProfile& profile) const {
  return profile.model_fingerprint == fingerprint_ &&
         profile.CheckAdapters(name, loaded_->adapters()).has_value();
}

Result<uint64_t> AnswerDesk::Enter(AnswerOrder order) {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() >= limits_.waiting) {
    return Fail(Errc::kBusy, "{} questions wait already; ask again later", waiting_.size());
  }
  const uint64_t number = ++last_ticket_;
  auto ticket = std::make_unique<Ticket>();
  ticket->order = std::move(order);
  tickets_.emplace(number, std::move(ticket));
  waiting_.push_back(number);
  work_.notify_one();
  return number;
}

Result<AnswerPiece> AnswerDesk::Next(uint64_t number, const std::function<bool()>& gone) {
  std::unique_lock lock(mutex_);
  Ticket& ticket = *tickets_.at(number);
  while (ticket.text.empty() && !ticket.end.has_value()) {
    news_.wait_for(lock, kLook);
    if (ended_ || gone()) {
      return Fail(Errc::kInterrupted, "nobody waits for the answer any more");
    }
  }
  AnswerPiece piece{.text = std::exchange(ticket.text, {}), .end = {}};
  if (!ticket.end.has_value()) return piece;
  if (!ticket.end->has_value()) return ticket.end->error();
  piece.end = std::move(*ticket.end).value();  // `why` is large
  return piece;
}

void AnswerDesk::Leave(uint64_t number) {
  std::unique_lock lock(mutex_);
  Ticket& ticket = *tickets_.at(number);
  ticket.given_up = true;
  std::erase(waiting_, number);
  news_.wait(lock, [&] { return !ticket.begun || ticket.end.has_value(); });
  tickets_.erase(number);
}

void AnswerDesk::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [&] { return !waiting_.empty() || ended_; });
    if (ended_) break;
    Ticket& ticket = *tickets_.at(waiting_.front());
    waiting_.pop_front();
    ticket.begun = true;
    lock.unlock();
    auto end = Handle(ticket);
    lock.lock();
    ticket.end = std::move(end);
    news_.notify_all();
  }
  workspace_.reset();
}

Result<std::string> AnswerDesk::StateNow(const std::string& name) const {
  CAIRN_TRY(auto cold, OpenStore(flags_, false, true));
  CAIRN_TRY(const auto catalog, SessionCatalog::Open(*cold, true));
  CAIRN_TRY(const auto record, catalog.Find(name));
  return StateOf(catalog, record);
}

Status AnswerDesk::OpenSession(const std::string& name) {
  if (workspace_ != nullptr) {
    if (workspace_->session().record().name == name) {
      CAIRN_TRY(const std::string state, StateNow(name));
      if (state == opened_) return Ok();
    }
    model_ = Workspace::Close(std::move(workspace_));
  }
  Flags flags = flags_;
  flags.session = name;
  const int64_t tokens = std::min(limits_.question_tokens, kMostScratchTokens) +
                         std::min(limits_.answer_tokens, kMostScratchTokens);
  CAIRN_TRY(workspace_, Workspace::OpenOnScratch(flags, model_, tokens));
  auto state = StateOf(workspace_->engine().catalog(), workspace_->session().record());
  if (state.has_value()) {
    opened_ = std::move(state).value();
    return Ok();
  }
  model_ = Workspace::Close(std::move(workspace_));
  return state.error();
}

Result<AnswerEnd> AnswerDesk::Handle(Ticket& ticket) {
  auto end = OpenAndAsk(ticket);
  // Others may have deleted or compacted what was being read, and the bytes went with it. As long
  // as nothing was told the question is asked again, of the store as it is now.
  if (SeemsDamaged(end) && !ticket.told) end = OpenAndAsk(ticket);
  if (!SeemsDamaged(end) || !ticket.told) return end;
  const std::string& name = ticket.order.session;
  CAIRN_TRY(const std::string state, StateNow(name));
  if (state == opened_) return end;
  return Fail(Errc::kInterrupted, "session '{}' was changed while it was read; ask again", name);
}

Result<AnswerEnd> AnswerDesk::OpenAndAsk(Ticket& ticket) {
  CAIRN_TRY(OpenSession(ticket.order.session));
  int64_t tokens = 0;
  for (const Turn& turn : ticket.order.turns) {
    tokens += std::ssize(workspace_->model().tokenizer().Encode(turn.system + turn.text));
  }
  if (tokens > limits_.question_tokens) {
    return Fail(Errc::kInvalidArgument,
                "the messages have {} tokens, and at most {} are read for an answer; let `cairn "
                "ingest` read long texts into the session",
                tokens, limits_.question_tokens);
  }
  auto end = AskAndForget(ticket);
  if (end.has_value()) return end;
  // What could not be forgotten is opened anew.
  model_ = Workspace::Close(std::move(workspace_));
  return end;
}

Result<AnswerEnd> AnswerDesk::AskAndForget(Ticket& ticket) {
  const AnswerOrder& order = ticket.order;
  CAIRN_TRY(auto conversation, Conversation::Open(*workspace_));
  StopWords stop(order.stop);
  const auto tell = [&](std::string text) {
    if (text.empty()) return;
    const std::lock_guard lock(mutex_);
    ticket.text += text;
    ticket.told = true;
    news_.notify_all();
  };
  conversation.EndWhen([&] {
    if (stop.found() || Interrupted()) return true;
    const std::lock_guard lock(mutex_);
    return ticket.given_up;
  });
  const auto sink = [&](std::string_view piece) { tell(stop.Take(piece)); };
  Sampler sampler(order.temperature, order.seed);
  AnswerEnd end;
  end.session_tokens = workspace_->session().tokens();
  Answer answer;
  if (order.why) {
    CAIRN_TRY(const auto sources, AskForSources(*workspace_, conversation, order.turns,
                                                order.max_tokens, sampler, sink));
    CAIRN_TRY(const SessionText text, TextOf(*workspace_));
    answer = sources.answer;
    end.why = WhyJson(sources, text, kWhyPassages, std::nullopt);
    end.why["session"] = order.session;
    end.why["tokens"] = end.session_tokens;
  } else {
    CAIRN_TRY(answer, conversation.AskAfter(order.turns, order.max_tokens, sampler, sink));
  }
  CAIRN_TRY(conversation.Forget());
  tell(stop.Rest());
  end.cut = answer.cut && !stop.found();
  end.question_tokens = answer.question_tokens;
  end.answer_tokens = answer.answer_tokens;
  return end;
}

}  // namespace cairn
