#include "tools/store_view.h"

#include "tools/session_history.h"
#include "tools/session_report.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

constexpr std::chrono::seconds kOldest{1};
constexpr std::chrono::seconds kUnasked{10};

}  // namespace

Result<StoreView::Open*> StoreView::Look() {
  asked_ = Clock::now();
  if (open_ != nullptr && asked_ - open_->since < kOldest) return open_.get();
  auto open = std::make_unique<Open>();
  CAIRN_TRY(open->cold, OpenStore(flags_, false, true));
  CAIRN_TRY(open->catalog, SessionCatalog::Open(*open->cold, true));
  open->since = Clock::now();
  open_ = std::move(open);
  return open_.get();
}

Result<nlohmann::json> StoreView::Sessions() {
  const std::lock_guard lock(mutex_);
  CAIRN_TRY(Open* const open, Look());
  if (!open->sessions.has_value()) {
    CAIRN_TRY(auto all, open->catalog->List());
    open->sessions = ToJson(ListSessions(std::move(all), open->cold->Stats().disk_bytes));
  }
  return *open->sessions;
}

Result<std::vector<std::string>> StoreView::NamesOf(
    FunctionRef<bool(const std::string& name, const SessionProfile& profile)> takes) {
  const std::lock_guard lock(mutex_);
  CAIRN_TRY(Open* const open, Look());
  CAIRN_TRY(auto all, open->catalog->List());
  std::vector<std::string> names;
  for (SessionRecord& record : all.sessions) {
    const auto session = StoredSession::FromRecord(std::move(record));
    if (!session) continue;
    const std::string& name = session.value().record.name;
    if (takes(name, session.value().profile)) names.push_back(name);
  }
  return names;
}

Result<nlohmann::json> StoreView::Session(const std::string& name) {
  const std::lock_guard lock(mutex_);
  CAIRN_TRY(Open* const open, Look());
  CAIRN_TRY(const auto session, StoredSession::Find(*open->catalog, name));
  CAIRN_TRY(const auto history, HistoryOf(*open->catalog, session));
  return DescribeSession(*open->catalog, session, history);
}

Result<const SessionText*> StoreView::TextOf(Open& open, const StoredSession& session) {
  if (open.text_of == session.record.name) return &*open.text;
  open.text.reset();
  open.text_of.clear();
  if (!tokenizer_.has_value() || model_ != session.profile.model_fingerprint) {
    auto stored = StoredText::Open(flags_, session);
    // A model for answers is not every session's.
    if (!stored && !flags_.model.empty()) stored = StoredText::Open(Flags(), session);
    if (!stored) return stored.as_failure();
    model_ = session.profile.model_fingerprint;
    tokenizer_ = std::move(stored).value();
  }
  CAIRN_TRY(auto text, tokenizer_->Of(*open.catalog, session));
  open.text.emplace(std::move(text));
  open.text_of = session.record.name;
  return &*open.text;
}

Result<nlohmann::json> StoreView::Text(const std::string& name, int64_t first, int64_t end) {
  const std::lock_guard lock(mutex_);
  CAIRN_TRY(Open* const open, Look());
  CAIRN_TRY(const auto session, StoredSession::Find(*open->catalog, name));
  const auto size = static_cast<int64_t>(session.record.tokens);
  if (first < 0 || first > end || end > size || end - first > kMostTokens) {
    return Fail(Errc::kInvalidArgument,
                "tokens {} to {}: session '{}' has {}; ask for at most {} at once", first, end,
                name, size, kMostTokens);
  }
  CAIRN_TRY(const SessionText* const text, TextOf(*open, session));
  return nlohmann::json{{"session", name},
                        {"tokens", {first, end}},
                        {"of", size},
                        {"block_tokens", text->block_tokens()},
                        {"text", text->Text(first, end)}};
}

Status StoreView::Check(const NamedTrace& trace) {
  const std::lock_guard lock(mutex_);
  CAIRN_TRY(Open* const open, Look());
  return trace.CheckStore(open->cold->Stats().identity);
}

Result<nlohmann::json> StoreView::Fetches(const std::string& name, const NamedTrace& trace) {
  const std::lock_guard lock(mutex_);
  CAIRN_TRY(Open* const open, Look());
  CAIRN_TRY(const auto session, StoredSession::Find(*open->catalog, name));
  CAIRN_TRY(const SessionText* const text, TextOf(*open, session));
  nlohmann::json json = HeatJson(HeatOf(trace.counts, session, *text));
  json["session"] = name;
  json["trace"] = trace.path;
  return json;
}

void StoreView::Rest() {
  const std::lock_guard lock(mutex_);
  if (open_ != nullptr && Clock::now() - asked_ > kUnasked) open_.reset();
}

}  // namespace cairn
