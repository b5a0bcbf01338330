#include "tools/chat_api.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include "tools/serve_api.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr size_t kMostRecorded = 16;
constexpr size_t kMostRecordedBytes = 64 << 20;  // of their documents, but for the last alone
constexpr size_t kMostModels = 10'000;
constexpr int kRetrySeconds = 5;
constexpr std::string_view kModels = "/v1/models";

HttpReply Fault(int status, const std::string& message, const json& param, const json& code) {
  return JsonReply({{"error",
                     {{"message", message},
                      {"type", status == 429 ? "rate_limit_error" : "invalid_request_error"},
                      {"param", param},
                      {"code", code}}}},
                   status);
}

HttpReply Fault(const Error& error) {
  if (error.code == Errc::kBusy) {
    HttpReply reply = Fault(429, error.message, nullptr, "queue_full");
    reply.headers.emplace_back("Retry-After", std::to_string(kRetrySeconds));
    return reply;
  }
  if (error.code == Errc::kNotFound) return Fault(404, error.message, "model", "model_not_found");
  return ErrorReply(error);
}

json Usage(const AnswerEnd& end) {
  const int64_t prompt = end.session_tokens + end.question_tokens;
  return {{"prompt_tokens", prompt},
          {"completion_tokens", end.answer_tokens},
          {"total_tokens", prompt + end.answer_tokens},
          {"prompt_tokens_details", {{"cached_tokens", end.session_tokens}}}};
}

const char* FinishOf(const AnswerEnd& end) { return end.cut ? "length" : "stop"; }

/// A number that all JSON readers keep exactly.
uint64_t DrawnSeed() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) {
    seed = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  }
  return seed & ((uint64_t{1} << 53) - 1);
}

/// An event of a stream.
std::string Event(const json& document) {
  return fmt::format("data: {}\n\n", document.dump(-1, ' ', false, json::error_handler_t::replace));
}

}  // namespace

HttpReply ChatApi::Answer(const HttpRequest& request) {
  if (request.path == "/v1/chat/completions") {
    if (request.post) return Complete(request);
    HttpReply reply = Fault(405, "send a question with POST", nullptr, nullptr);
    reply.headers.emplace_back("Allow", "POST");
    return reply;
  }
  if (request.path == kModels) return Models("");
  if (request.path.starts_with(std::string(kModels) + "/")) {
    return Models(request.path.substr(kModels.size() + 1));
  }
  return Fault(404, "there is no such thing here", nullptr, "not_found");
}

HttpReply ChatApi::Models(const std::string& name) {
  const auto names = store_.NamesOf([this](const std::string& one, const SessionProfile& profile) {
    return desk_.IsForThis(one, profile);
  });
  if (!names) return ErrorReply(names.error());
  json list = json::array();
  for (const std::string& one : names.value()) {
    if ((!name.empty() && one != name) || list.size() == kMostModels) continue;
    list.push_back({{"id", one}, {"object", "model"}, {"created", 0}, {"owned_by", "cairn"}});
  }
  if (name.empty()) return JsonReply({{"object", "list"}, {"data", std::move(list)}});
  if (!list.empty()) return JsonReply(list.front());
  return Fault(404, fmt::format("there is no session '{}' of this model", name), "model",
               "model_not_found");
}

HttpReply ChatApi::Complete(const HttpRequest& request) {
  ChatRequest asked;
  ChatFault fault;
  if (!ReadChatRequest(request.body, limits_, &asked, &fault)) {
    const std::string message =
        fault.param.empty() ? fault.message : fmt::format("'{}' {}", fault.param, fault.message);
    return Fault(400, message, fault.param.empty() ? json() : json(fault.param), nullptr);
  }
  if (asked.draws_seed) asked.order.seed = DrawnSeed();
  const Head head{
      .id = fmt::format("chatcmpl-{}-{}", std::time(nullptr), ++answers_),
      .created = std::time(nullptr),
      .model = asked.order.session,
      .seed = asked.order.temperature > 0 ? json(static_cast<int64_t>(asked.order.seed)) : json()};
  const auto ticket = desk_.Enter(std::move(asked.order));
  if (!ticket) return Fault(ticket.error());
  return asked.stream ? Streamed(ticket.value(), head, asked.usage_in_stream, request)
                      : Whole(ticket.value(), head, request);
}

HttpReply ChatApi::Whole(uint64_t ticket, const Head& head, const HttpRequest& request) {
  std::string text;
  for (;;) {
    const auto piece = desk_.Next(ticket, request.gone);
    if (!piece) {
      const HttpReply reply = Fault(piece.error());
      desk_.Leave(ticket);
      return reply;
    }
    text += piece.value().text;
    if (!piece.value().end.has_value()) continue;
    const AnswerEnd& end = *piece.value().end;
    desk_.Leave(ticket);
    json document{{"id", head.id},
                  {"object", "chat.completion"},
                  {"created", head.created},
                  {"model", head.model},
                  {"choices", json::array({{{"index", 0},
                                            {"message", {{"role", "assistant"}, {"content", text}}},
                                            {"logprobs", nullptr},
                                            {"finish_reason", FinishOf(end)}}})},
                  {"usage", Usage(end)}};
    if (auto own = Own(head, end); !own.is_null()) document["cairn"] = std::move(own);
    return JsonReply(document);
  }
}

HttpReply ChatApi::Streamed(uint64_t ticket, const Head& head, bool usage,
                            const HttpRequest& request) {
  // What fails before the first piece is an error with a status of its own.
  auto first = desk_.Next(ticket, request.gone);
  if (!first) {
    HttpReply reply = Fault(first.error());
    desk_.Leave(ticket);
    return reply;
  }
  const auto chunk = [head](const json& delta, const json& finish) {
    return json{{"id", head.id},
                {"object", "chat.completion.chunk"},
                {"created", head.created},
                {"model", head.model},
                {"choices", json::array({{{"index", 0},
                                          {"delta", delta},
                                          {"logprobs", nullptr},
                                          {"finish_reason", finish}}})}};
  };
  const auto stream = [this, ticket, head, usage, chunk, gone = request.gone,
                       piece = std::move(first).value()](const HttpWrite& write) mutable {
    if (!write(Event(chunk({{"role", "assistant"}, {"content", ""}}, nullptr)))) return;
    for (;;) {
      if (!piece.text.empty() && !write(Event(chunk({{"content", piece.text}}, nullptr)))) return;
      if (piece.end.has_value()) break;
      auto next = desk_.Next(ticket, gone);
      if (!next) {
        (void)write(Event(json::parse(Fault(next.error()).body)));
        return;
      }
      piece = std::move(next).value();
    }
    const AnswerEnd& end = *piece.end;
    json last = chunk(json::object(), FinishOf(end));
    if (auto own = Own(head, end); !own.is_null()) last["cairn"] = std::move(own);
    std::string events = Event(last);
    if (usage) {
      last = chunk(json::object(), nullptr);
      last["choices"] = json::array();
      last["usage"] = Usage(end);
      events += Event(last);
    }
    (void)write(events + "data: [DONE]\n\n");
  };
  return {.status = 200,
          .type = "text/event-stream; charset=utf-8",
          .stream = stream,
          .finally = [this, ticket] { desk_.Leave(ticket); }};
}

json ChatApi::Own(const Head& head, const AnswerEnd& end) {
  json own;
  if (!end.why.is_null()) own["recorded"] = Record(end);
  if (!head.seed.is_null()) own["seed"] = head.seed;
  return own;
}

int64_t ChatApi::Record(const AnswerEnd& end) {
  std::string document = JsonReply(end.why).body;
  const std::lock_guard lock(mutex_);
  recorded_bytes_ += document.size();
  recorded_.push_back({{.number = ++last_recorded_, .question = end.why.value("question", "")},
                       std::move(document)});
  while (recorded_.size() > kMostRecorded ||
         (recorded_bytes_ > kMostRecordedBytes && recorded_.size() > 1)) {
    recorded_bytes_ -= recorded_.front().document.size();
    recorded_.pop_front();
  }
  return last_recorded_;
}

std::vector<ChatApi::Recorded> ChatApi::recorded() const {
  const std::lock_guard lock(mutex_);
  return {recorded_.begin(), recorded_.end()};
}

std::optional<std::string> ChatApi::RecordedDocument(int64_t number) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(recorded_, number, &Kept::number);
  if (found == recorded_.end()) return std::nullopt;
  return found->document;
}

}  // namespace cairn
