#include <algorithm>

#include "capi/guard.h"
#include "capi/handles.h"
#include "tools/conversation.h"
#include "tools/reader.h"

namespace cairn::capi {
namespace {

Status Revert(Workspace& workspace) {
  CAIRN_TRY(auto profile, SessionProfile::FromJson(workspace.session().properties()));
  workspace.profile() = std::move(profile);
  return workspace.session().Revert();
}

std::string NameOf(const std::optional<int32_t>& device) {
  return device.has_value() ? fmt::format("on cuda:{}", *device) : "on no device";
}

/// A model's steps on a device read what the store's tiers have there.
Status CheckDevices(const cairn_store& store, const cairn_model& model) {
  if (!model.device.has_value() || model.device == store.device) return Ok();
  return Fail(Errc::kMismatch,
              "the model {} is {} and the store {} is {}; give both the same option device",
              model.loaded->file().path(), NameOf(model.device), store.run.store,
              NameOf(store.device));
}

Result<std::unique_ptr<cairn_session>> Open(cairn_store& store, cairn_model& model,
                                            const char* name, const cairn_options* options,
                                            bool create) {
  CAIRN_TRY(CheckCanOpen(store, name));
  CAIRN_TRY(CheckDevices(store, model));
  auto session = std::make_unique<cairn_session>();
  session->store = &store;
  session->model = &model;
  session->name = name;
  RunOptions run = options != nullptr ? options->run : RunOptions{};
  run.session = name;
  Engine& engine = *store.engine;
  if (create) {
    const bool raw = options != nullptr && options->raw;
    CAIRN_TRY(engine.catalog().CheckFree(name));
    Undo unmake([&] { return TakeBack(engine.catalog(), name); });
    CAIRN_TRY(session->workspace, Workspace::CreateIn(run, raw, engine, *model.loaded));
    unmake.Done();
  } else {
    CAIRN_TRY(session->workspace, Workspace::OpenIn(run, engine, *model.loaded));
  }
  store.open_sessions.insert(name);
  ++model.sessions;
  return session;
}

Status Read(Workspace& workspace, std::string_view text, const char* source,
            cairn_progress_fn progress, void* user) {
  auto record = Reader::RecordOf(text, source != nullptr ? source : "a text", 0);
  if (text.empty()) return Fail(Errc::kInvalidArgument, "{} holds no tokens", record.source);
  Undo undo([&] { return Revert(workspace); });
  Reader reader(workspace);
  CAIRN_TRY(workspace.ChooseAsReading());
  CAIRN_TRY(const bool unread, reader.BeginOrGoOn(std::move(record), false));
  if (unread) {
    CAIRN_TRY(const auto tokens, reader.Tokens(text));
    bool stop = false;
    reader.StopWhen([&] { return stop; });
    CAIRN_TRY(reader.Read(tokens, [&](int64_t done) {
      if (progress == nullptr) return;
      stop = progress(user, static_cast<uint64_t>(done), tokens.size()) != 0;
    }));
  }
  undo.Done();
  return Ok();
}

/// What is appended behind a text that is half read ends it there.
void EndText(Workspace& workspace) { workspace.profile().EndText(workspace.session().tokens()); }

Status Append(cairn_session& session, std::span<const uint32_t> tokens) {
  CAIRN_TRY(CheckTokens(*session.model, tokens));
  Workspace& workspace = *session.workspace;
  Undo undo([&] { return Revert(workspace); });
  CAIRN_TRY(workspace.ChooseAsReading());
  EndText(workspace);
  CAIRN_TRY(workspace.runner().Feed(tokens, nullptr));
  workspace.session().AddTokens(tokens);
  undo.Done();
  return Ok();
}

Status CheckMost(uint64_t max_tokens) {
  if (max_tokens > 0) return Ok();
  return Fail(Errc::kInvalidArgument, "0 tokens: use 1 or more");
}

/// At most `max_tokens` tokens go to `piece` until it wants no more.
Status Answer(Conversation& conversation, const std::string& text, uint64_t max_tokens,
              Sampler& sampler, cairn_text_fn piece, void* user) {
  constexpr uint64_t kMost = int64_t{1} << 48;
  bool stop = false;
  conversation.EndWhen([&] { return stop; });
  CAIRN_TRY(conversation.Ask(text, static_cast<int64_t>(std::min(max_tokens, kMost)), sampler,
                             [&](std::string_view part) {
                               if (part.empty() || stop || piece == nullptr) return;
                               stop = piece(user, part.data(), part.size()) != 0;
                             }));
  return Ok();
}

Status Generate(Workspace& workspace, const std::string& prompt, uint64_t max_tokens,
                Sampler& sampler, cairn_text_fn piece, void* user) {
  CAIRN_TRY(CheckMost(max_tokens));
  if (prompt.empty()) return Fail(Errc::kInvalidArgument, "the text to go on from is empty");
  Undo undo([&] { return Revert(workspace); });
  EndText(workspace);
  CAIRN_TRY(auto conversation, Conversation::OpenPlain(workspace));
  CAIRN_TRY(Answer(conversation, prompt, max_tokens, sampler, piece, user));
  undo.Done();
  return Ok();
}

Status Ask(cairn_session& session, const std::string& question, uint64_t max_tokens, unsigned flags,
           cairn_text_fn piece, void* user) {
  Workspace& workspace = *session.workspace;
  if ((flags & ~unsigned{CAIRN_ASK_KEEP}) != 0) {
    return Fail(Errc::kInvalidArgument, "flags {:#x}: use CAIRN_ASK_KEEP or 0", flags);
  }
  CAIRN_TRY(CheckMost(max_tokens));
  const int64_t scratch = workspace.session().tokens() - workspace.session().committed_tokens();
  if (scratch != 0) {
    return Fail(Errc::kInvalidArgument,
                "session '{}' has {} tokens that are not committed; commit or revert first",
                session.name, scratch);
  }
  Undo undo([&] { return Revert(workspace); });
  CAIRN_TRY(auto conversation, Conversation::Open(workspace));
  Sampler greedy;
  CAIRN_TRY(Answer(conversation, question, max_tokens, greedy, piece, user));
  CAIRN_TRY((flags & CAIRN_ASK_KEEP) != 0 ? conversation.Keep() : conversation.Forget());
  undo.Done();
  return Ok();
}

/// cairn_session_open and cairn_session_create.
cairn_status OpenInto(cairn_store* store, cairn_model* model, const char* name,
                      const cairn_options* options, bool create, cairn_session** session) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{store, "store"}, {model, "model"}, {name, "name"}, {session, "session"}}));
    CAIRN_TRY(auto opened, Open(*store, *model, name, options, create));
    *session = opened.release();
    return Ok();
  });
}

}  // namespace

Status CopyTokens(const Session& session, uint64_t first, uint32_t* tokens, size_t capacity,
                  size_t* count) {
  if (capacity > 0) CAIRN_TRY(Given({{tokens, "tokens"}}));
  CAIRN_TRY(const auto all, session.ReadTokens());
  const size_t begin = std::min<uint64_t>(first, all.size());
  *count = std::min(capacity, all.size() - begin);
  std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(begin), *count, tokens);
  return Ok();
}

}  // namespace cairn::capi

using cairn::Errc;
using cairn::Fail;
using cairn::Ok;
using cairn::Status;
using cairn::capi::Given;
using cairn::capi::Guard;

cairn_status cairn_session_open(cairn_store* store, cairn_model* model, const char* name,
                                const cairn_options* options, cairn_session** session) {
  return cairn::capi::OpenInto(store, model, name, options, false, session);
}

cairn_status cairn_session_create(cairn_store* store, cairn_model* model, const char* name,
                                  const cairn_options* options, cairn_session** session) {
  return cairn::capi::OpenInto(store, model, name, options, true, session);
}

void cairn_session_close(cairn_session* session) {
  if (session == nullptr) return;
  const cairn::DeviceScope scope;
  session->workspace.reset();
  session->store->open_sessions.erase(session->name);
  --session->model->sessions;
  std::unique_ptr<cairn_session>{session};
}

uint64_t cairn_session_tokens(const cairn_session* session) {
  return session == nullptr ? 0 : static_cast<uint64_t>(session->workspace->session().tokens());
}

uint64_t cairn_session_committed_tokens(const cairn_session* session) {
  if (session == nullptr) return 0;
  return static_cast<uint64_t>(session->workspace->session().committed_tokens());
}

cairn_status cairn_session_read_tokens(const cairn_session* session, uint64_t first,
                                       uint32_t* tokens, size_t capacity, size_t* count) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{session, "session"}, {count, "count"}}));
    return cairn::capi::CopyTokens(session->workspace->session(), first, tokens, capacity, count);
  });
}

cairn_status cairn_session_read(cairn_session* session, const char* text, size_t bytes,
                                const char* source, cairn_progress_fn progress, void* user) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{session, "session"}, {text, "text"}}));
    const std::string_view all(text, bytes);
    return cairn::capi::Read(*session->workspace, all, source, progress, user);
  });
}

cairn_status cairn_session_append(cairn_session* session, const uint32_t* tokens, size_t count) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{session, "session"}}));
    if (count == 0) return Ok();
    CAIRN_TRY(Given({{tokens, "tokens"}}));
    return cairn::capi::Append(*session, {tokens, count});
  });
}

cairn_status cairn_session_generate(cairn_session* session, const char* prompt, size_t bytes,
                                    uint64_t max_tokens, float temperature, uint64_t seed,
                                    cairn_text_fn piece, void* user) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{session, "session"}, {prompt, "prompt"}}));
    if (!(temperature >= 0) || temperature > 100) {
      return Fail(Errc::kInvalidArgument, "temperature {}: use 0 to 100", temperature);
    }
    cairn::Sampler sampler(temperature, seed);
    return cairn::capi::Generate(*session->workspace, std::string(prompt, bytes), max_tokens,
                                 sampler, piece, user);
  });
}

cairn_status cairn_session_ask(cairn_session* session, const char* question, uint64_t max_tokens,
                               unsigned flags, cairn_text_fn piece, void* user) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{session, "session"}, {question, "question"}}));
    return cairn::capi::Ask(*session, question, max_tokens, flags, piece, user);
  });
}

cairn_status cairn_session_commit(cairn_session* session) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{session, "session"}}));
    return session->workspace->Commit();
  });
}

cairn_status cairn_session_revert(cairn_session* session) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{session, "session"}}));
    return cairn::capi::Revert(*session->workspace);
  });
}
