// Pasts: sessions of models that the caller runs.
#include <algorithm>
#include <cmath>
#include <functional>
#include <tuple>

#include "capi/guard.h"
#include "capi/handles.h"
#include "engine/stored_shape.h"

namespace cairn::capi {
namespace {

/// The step that is open is undone with all that is not committed.
Status Revert(cairn_past& past) {
  if (past.step_rows > 0) past.session->AbortStep();
  past.step_rows = 0;
  CAIRN_TRY(past.session->Revert());
  CAIRN_TRY(past.profile, SessionProfile::FromJson(past.session->properties()));
  return Ok();
}

/// The numbers of a step's attention: queries, keys, values, and what is written.
struct StepNumbers {
  const float *q, *k, *v;
  float* o;
};

bool Overlap(const float* a, int64_t a_count, const float* b, int64_t b_count) {
  const std::less<const float*> before;
  return before(a, b + b_count) && before(b, a + a_count);
}

/// kInvalidArgument if queries, keys or values are not finite, or lie where `o` is written.
Status CheckNumbers(const cairn_past& past, const StepNumbers& step) {
  const SessionShape& shape = past.session->shape();
  const int64_t rows = past.step_rows;
  const int64_t queries = rows * shape.query_heads * shape.block.head_dim;
  const int64_t keys = rows * shape.kv_heads * shape.block.head_dim;
  for (const auto& [name, numbers, count] :
       {std::tuple("q", step.q, queries), {"k", step.k, keys}, {"v", step.v, keys}}) {
    if (Overlap(numbers, count, step.o, queries)) {
      return Fail(Errc::kInvalidArgument, "{} and o overlap; give o numbers of its own", name);
    }
    const float* const end = numbers + count;
    const float* const bad = std::find_if(numbers, end, [](float x) { return !std::isfinite(x); });
    if (bad == end) continue;
    return Fail(Errc::kInvalidArgument, "{} has {} in row {} of the step of '{}'", name, *bad,
                (bad - numbers) / (count / rows), past.name);
  }
  return Ok();
}

Status CheckStep(const cairn_past& past, bool open) {
  if (open == (past.step_rows > 0)) return Ok();
  if (open) return Fail(Errc::kInvalidArgument, "no step of '{}' is open; begin one", past.name);
  return Fail(Errc::kInvalidArgument, "a step of '{}' is open; end or abort it first", past.name);
}

/// Rows [first, end) of a session that are tokens.
int64_t TokensIn(const SessionShape& shape, int64_t first, int64_t end) {
  const auto tokens = [&](int64_t rows) {
    const int64_t landmarks = shape.block.block_rows - shape.block_tokens();
    return rows - rows / shape.block.block_rows * landmarks;
  };
  return tokens(end) - tokens(first);
}

Result<std::unique_ptr<cairn_past>> Open(cairn_store& store, const char* name,
                                         const cairn_options* options,
                                         std::span<const double> frequencies, bool create) {
  CAIRN_TRY(CheckCanOpen(store, name));
  auto past = std::make_unique<cairn_past>();
  past->store = &store;
  past->name = name;
  const cairn_options given = options != nullptr ? *options : cairn_options{};
  CallerModel model = given.caller;
  model.inverse_frequencies.assign(frequencies.begin(), frequencies.end());
  CAIRN_TRY(model.Check());
  Engine& engine = *store.engine;
  if (create) {
    CAIRN_TRY(engine.catalog().CheckFree(name));
    CAIRN_TRY(past->profile, model.NewProfile(given.run));
  } else {
    CAIRN_TRY(SessionCatalog::ValidateName(name));
    CAIRN_TRY(const auto record, engine.catalog().Find(name));
    CAIRN_TRY(const auto stored, ParseStoredShape(record.properties));
    CAIRN_TRY(past->profile, SessionProfile::FromJson(stored.properties));
    CAIRN_TRY(model.CheckAgainst(name, past->profile));
    CAIRN_TRY(given.run.CheckAgainst(past->profile));
  }
  CAIRN_TRY(const auto session_options, given.run.ToSessionOptions(past->profile));
  const SessionShape shape = model.Shape(past->profile);
  CAIRN_TRY(engine.OpenTiers(shape, session_options));
  if (create) {
    Undo unmake([&] { return TakeBack(engine.catalog(), name); });
    CAIRN_TRY(past->session,
              engine.CreateSession(name, shape, session_options, past->profile.ToJson()));
    unmake.Done();
  } else {
    CAIRN_TRY(past->session, engine.OpenSession(name, shape, session_options));
    past->session->SettleFirst();
  }
  store.open_sessions.insert(name);
  return past;
}

cairn_status OpenInto(cairn_store* store, const char* name, const cairn_options* options,
                      const double* frequencies, size_t count, bool create, cairn_past** past) {
  return Guard([&]() -> Status {
    CAIRN_TRY(
        Given({{store, "store"}, {name, "name"}, {frequencies, "frequencies"}, {past, "past"}}));
    CAIRN_TRY(auto opened, Open(*store, name, options, {frequencies, count}, create));
    *past = opened.release();
    return Ok();
  });
}

Status Begin(cairn_past& past, uint32_t rows) {
  CAIRN_TRY(CheckStep(past, false));
  CAIRN_TRY(past.session->BeginStep(static_cast<int32_t>(std::min<uint32_t>(rows, INT32_MAX))));
  past.step_rows = static_cast<int32_t>(rows);
  past.attended.assign(static_cast<size_t>(past.session->shape().layers), false);
  return Ok();
}

Status Attend(cairn_past& past, uint32_t layer, const StepNumbers& step) {
  CAIRN_TRY(CheckStep(past, true));
  if (layer >= past.attended.size()) {
    return Fail(Errc::kInvalidArgument, "layer {}: '{}' has {}, counted from 0", layer, past.name,
                past.attended.size());
  }
  if (past.attended[layer]) {
    return Fail(Errc::kInvalidArgument, "layer {} has been attended in this step of '{}'", layer,
                past.name);
  }
  CAIRN_TRY(CheckNumbers(past, step));
  Undo undo([&] { return Revert(past); });
  CAIRN_TRY(past.session->Attend(static_cast<int32_t>(layer), step.q, step.k, step.v, step.o));
  past.attended[layer] = true;
  undo.Done();
  return Ok();
}

Status End(cairn_past& past, std::span<const uint32_t> tokens) {
  CAIRN_TRY(CheckStep(past, true));
  const auto missing = std::find(past.attended.begin(), past.attended.end(), false);
  if (missing != past.attended.end()) {
    return Fail(Errc::kInvalidArgument, "layer {} of this step of '{}' has not been attended",
                missing - past.attended.begin(), past.name);
  }
  Session& session = *past.session;
  const int64_t rows = session.rows();
  const int64_t needed = TokensIn(session.shape(), rows, rows + past.step_rows);
  if (std::ssize(tokens) != needed) {
    return Fail(Errc::kInvalidArgument, "{} tokens for a step of {} rows of '{}': give {}",
                tokens.size(), past.step_rows, past.name, needed);
  }
  Undo undo([&] { return Revert(past); });
  CAIRN_TRY(session.EndStep());
  past.step_rows = 0;
  session.AddTokens(tokens);
  undo.Done();
  return Ok();
}

Status Choose(cairn_past& past, const cairn_options* options) {
  CAIRN_TRY(CheckStep(past, false));
  const RunOptions run = options != nullptr ? options->run : RunOptions{};
  SessionProfile profile = past.profile;
  if (run.selection.has_value()) {
    CAIRN_TRY(profile.selection, ParseSelection(*run.selection));
  }
  CAIRN_TRY(const auto chosen, run.ToSessionOptions(profile));
  return past.session->SetOptions(chosen);
}

}  // namespace
}  // namespace cairn::capi

using cairn::Ok;
using cairn::Status;
using cairn::capi::Given;
using cairn::capi::Guard;

cairn_status cairn_past_create(cairn_store* store, const char* name, const cairn_options* options,
                               const double* frequencies, size_t count, cairn_past** past) {
  return cairn::capi::OpenInto(store, name, options, frequencies, count, true, past);
}

cairn_status cairn_past_open(cairn_store* store, const char* name, const cairn_options* options,
                             const double* frequencies, size_t count, cairn_past** past) {
  return cairn::capi::OpenInto(store, name, options, frequencies, count, false, past);
}

void cairn_past_close(cairn_past* past) {
  if (past == nullptr) return;
  const cairn::DeviceScope scope;
  past->session.reset();
  past->store->open_sessions.erase(past->name);
  std::unique_ptr<cairn_past>{past};
}

uint64_t cairn_past_rows(const cairn_past* past) {
  return past == nullptr ? 0 : static_cast<uint64_t>(past->session->rows());
}

uint64_t cairn_past_committed_rows(const cairn_past* past) {
  return past == nullptr ? 0 : past->session->record().rows;
}

uint32_t cairn_past_chunk(const cairn_past* past) {
  return past == nullptr ? 0 : static_cast<uint32_t>(past->profile.chunk);
}

cairn_status cairn_past_read_tokens(const cairn_past* past, uint64_t first, uint32_t* tokens,
                                    size_t capacity, size_t* count) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{past, "past"}, {count, "count"}}));
    return cairn::capi::CopyTokens(*past->session, first, tokens, capacity, count);
  });
}

cairn_status cairn_past_choose(cairn_past* past, const cairn_options* options) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{past, "past"}}));
    return cairn::capi::Choose(*past, options);
  });
}

cairn_status cairn_past_begin(cairn_past* past, uint32_t rows) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{past, "past"}}));
    return cairn::capi::Begin(*past, rows);
  });
}

cairn_status cairn_past_attend(cairn_past* past, uint32_t layer, const float* q, const float* k,
                               const float* v, float* o) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{past, "past"}, {q, "q"}, {k, "k"}, {v, "v"}, {o, "o"}}));
    return cairn::capi::Attend(*past, layer, {q, k, v, o});
  });
}

cairn_status cairn_past_end(cairn_past* past, const uint32_t* tokens, size_t count) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{past, "past"}}));
    if (count > 0) CAIRN_TRY(Given({{tokens, "tokens"}}));
    return cairn::capi::End(*past, {tokens, count});
  });
}

cairn_status cairn_past_abort(cairn_past* past) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{past, "past"}}));
    if (past->step_rows > 0) past->session->AbortStep();
    past->step_rows = 0;
    return Ok();
  });
}

cairn_status cairn_past_commit(cairn_past* past) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{past, "past"}}));
    CAIRN_TRY(cairn::capi::CheckStep(*past, false));
    return past->session->Commit(past->profile.ToJson());
  });
}

cairn_status cairn_past_revert(cairn_past* past) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{past, "past"}}));
    return cairn::capi::Revert(*past);
  });
}
