#include "base/absolute_path.h"
#include "capi/guard.h"
#include "capi/handles.h"
#include "tools/store_check.h"

namespace cairn::capi {
namespace {

constexpr unsigned kStoreFlags = CAIRN_STORE_CREATE | CAIRN_STORE_READ_ONLY;

Result<std::unique_ptr<cairn_store>> Open(const char* directory, unsigned flags,
                                          const cairn_options* options) {
  const bool create = (flags & CAIRN_STORE_CREATE) != 0;
  auto store = std::make_unique<cairn_store>();
  store->read_only = (flags & CAIRN_STORE_READ_ONLY) != 0;
  if ((flags & ~kStoreFlags) != 0 || (create && store->read_only)) {
    return Fail(Errc::kInvalidArgument,
                "flags {:#x} of a store: use CAIRN_STORE_CREATE, CAIRN_STORE_READ_ONLY or 0",
                flags);
  }
  if (options != nullptr) store->run = options->run;
  store->run.store = AbsolutePath(directory);
  CAIRN_TRY(auto engine_options, store->run.ToEngineOptions());
  engine_options.read_only = store->read_only;
  store->device = engine_options.device;
  CAIRN_TRY(auto cold, OpenStore(store->run, create, store->read_only));
  CAIRN_TRY(store->engine, OpenEngine(std::move(cold), engine_options));
  return store;
}

Status Verify(const cairn_store& store, const char* session, cairn_damage_fn each, void* user) {
  std::set<std::string> names;
  if (session != nullptr) {
    CAIRN_TRY(SessionCatalog::ValidateName(session));
    names.insert(session);
  }
  CAIRN_TRY(const auto check, CheckStore(store.run, names, true));
  if (check.findings.empty()) return Ok();
  for (const CheckFinding& found : check.findings) {
    const std::string what = fmt::format("{}: {}", PlaceOf(found), found.damage.what);
    if (each != nullptr && each(user, found.damage.session.c_str(), what.c_str()) != 0) break;
  }
  return Verdict(check, store.run.store);
}

}  // namespace

Status TakeBack(SessionCatalog& catalog, const std::string& name) {
  CAIRN_TRY(const auto record, catalog.Find(name));
  if (record.commits == 0) CAIRN_TRY(catalog.Delete(name));
  return Ok();
}

Status CheckCanOpen(const cairn_store& store, const char* name) {
  if (store.read_only) {
    return Fail(Errc::kInvalidArgument, "the store {} is open for reading only", store.run.store);
  }
  if (store.open_sessions.contains(name)) {
    return Fail(Errc::kBusy, "session '{}' is open already; close it first", name);
  }
  return Ok();
}

}  // namespace cairn::capi

using cairn::Errc;
using cairn::Fail;
using cairn::Ok;
using cairn::Status;
using cairn::capi::Given;
using cairn::capi::Guard;

cairn_status cairn_store_open(const char* directory, unsigned flags, const cairn_options* options,
                              cairn_store** store) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{directory, "directory"}, {store, "store"}}));
    CAIRN_TRY(auto opened, cairn::capi::Open(directory, flags, options));
    *store = opened.release();
    return Ok();
  });
}

cairn_status cairn_store_close(cairn_store* store) {
  return Guard([&]() -> Status {
    if (store != nullptr && !store->open_sessions.empty()) {
      return Fail(Errc::kBusy, "session '{}' of the store {} is open; close it first",
                  *store->open_sessions.begin(), store->run.store);
    }
    std::unique_ptr<cairn_store>{store};
    return Ok();
  });
}

cairn_status cairn_store_sessions(cairn_store* store, cairn_session_fn each, void* user) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{store, "store"}, {reinterpret_cast<const void*>(each), "each"}}));
    CAIRN_TRY(const auto all, store->engine->catalog().List());
    for (const cairn::SessionRecord& record : all.sessions) {
      if (each(user, record.name.c_str(), record.tokens) != 0) return Ok();
    }
    if (all.unreadable.empty()) return Ok();
    return Fail(Errc::kCorruption, "session '{}' cannot be read: {}", all.unreadable.front().name,
                all.unreadable.front().what);
  });
}

cairn_status cairn_store_fork(cairn_store* store, const char* source, const char* name) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{store, "store"}, {source, "source"}, {name, "name"}}));
    cairn::SessionCatalog& catalog = store->engine->catalog();
    CAIRN_TRY(const auto record, catalog.Find(source));
    CAIRN_TRY(catalog.CheckFree(name));
    CAIRN_TRY(catalog.Fork(record, name, std::nullopt));
    return Ok();
  });
}

cairn_status cairn_store_delete(cairn_store* store, const char* name) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{store, "store"}, {name, "name"}}));
    if (store->open_sessions.contains(name)) {
      return Fail(Errc::kBusy, "session '{}' is open; close it first", name);
    }
    CAIRN_TRY(store->engine->catalog().Delete(name));
    return Ok();
  });
}

cairn_status cairn_store_verify(cairn_store* store, const char* session, cairn_damage_fn each,
                                void* user) {
  return Guard([&]() -> Status {
    CAIRN_TRY(Given({{store, "store"}}));
    return cairn::capi::Verify(*store, session, each, user);
  });
}
