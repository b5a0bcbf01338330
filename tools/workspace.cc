#include "tools/workspace.h"

#include <filesystem>

#include "engine/stored_shape.h"
#include "storage/memory_cold_store.h"
#include "storage/scratch_cold_store.h"

namespace cairn {

Result<std::unique_ptr<RocksColdStore>> OpenStore(const Flags& flags, bool create, bool read_only) {
  RocksColdStoreOptions options;
  options.create = create;
  options.read_only = read_only;
  CAIRN_TRY(options.disk_limit_bytes, flags.DiskLimit());
  return RocksColdStore::Open(flags.store, options);
}

void GiveUpNewStore(RocksColdStore& store, const SessionCatalog& catalog) {
  const auto all = catalog.List();
  if (all && all.value().sessions.empty() && all.value().unreadable.empty()) store.RemoveIfNew();
}

namespace {

/// kNotFound saying how to go on if a file that the session was made with is not there any more.
Status CheckRemembered(const std::string& session, const std::string& path, const char* remedy) {
  std::error_code unreadable;  // is an error of opening it
  if (std::filesystem::exists(path, unreadable) || unreadable) return Ok();
  return Fail(Errc::kNotFound,
              "there is no file '{}' any more, which session '{}' was made with; {}", path, session,
              remedy);
}

}  // namespace

Status Workspace::OpenModelFor(const Flags& flags) {
  const std::string path = flags.model.empty() ? profile_.model_path : flags.model;
  if (flags.model.empty()) {
    CAIRN_TRY(CheckRemembered(flags.session, path, "give its new place as --model"));
  }
  CAIRN_TRY(auto sources, flags.AdapterSources());
  if (sources.empty()) {
    for (const auto& [adapter, fingerprint, scale] : profile_.adapters) {
      CAIRN_TRY(CheckRemembered(flags.session, adapter,
                                "give its new place as --adapter, and all other adapters too"));
      sources.push_back({adapter, scale});
    }
  }
  CAIRN_TRY(model_, LoadedModel::Open(path, sources));
  return CheckModel(flags);
}

Status Workspace::CheckModel(const Flags& flags) const {
  const std::string fingerprint = model_->file().Fingerprint();
  if (fingerprint != profile_.model_fingerprint) {
    return Fail(Errc::kMismatch,
                "session '{}' was made with another model ({}, fingerprint {}), not {} ({})",
                flags.session, profile_.model_path, profile_.model_fingerprint,
                model_->file().path(), fingerprint);
  }
  return profile_.CheckAdapters(flags.session, model_->adapters());
}

Result<SessionShape> Workspace::Prepare(const Flags& flags) {
  CAIRN_TRY(options_, flags.ToSessionOptions(profile_));
  reading_ = ReadingText(profile_, options_);
  CAIRN_TRY(model_->LoadWeights());
  model_->llama().Observe(flags.timeline());
  return profile_.Shape(model_->llama().config(), model_->landmark());
}

Workspace::~Workspace() {
  if (metrics_ != nullptr) metrics_->Release();
  if (store_ == nullptr) return;
  runner_.reset();
  attention_.reset();
  session_.reset();
  SessionCatalog& catalog = engine_->catalog();
  if (!made_.empty()) {
    const auto record = catalog.Find(made_);
    if (record && record.value().commits == 0) (void)catalog.Delete(made_);
  }
  GiveUpNewStore(*store_, catalog);
}

Status Workspace::Commit() {
  CAIRN_TRY(session_->Commit(profile_.ToJson()));
  ++counters_.commits;
  return Ok();
}

void Workspace::Attach() {
  attention_ = std::make_unique<SessionAttention>(*session_);
  runner_ =
      std::make_unique<Runner>(model_->llama(), *attention_, model_->landmark(), profile_.chunk);
}

Status Workspace::Start(const Flags& flags, bool create, const Make& make) {
  CAIRN_TRY(const SessionShape shape, Prepare(flags));
  CAIRN_TRY(engine_->OpenTiers(shape, options_));
  metrics_ = flags.metrics();
  if (metrics_ != nullptr) metrics_->Watch(counters_, *engine_->tiers());
  if (create) made_ = flags.session;
  if (create && make) {
    CAIRN_TRY(const bool made, make(*this, shape));
    create = !made;
  }
  if (create) {
    CAIRN_TRY(session_, engine_->CreateSession(flags.session, shape, options_, profile_.ToJson()));
  } else {
    CAIRN_TRY(session_, engine_->OpenSession(flags.session, shape, options_));
  }
  Attach();
  return Ok();
}

Result<std::unique_ptr<Workspace>> Workspace::OpenExisting(const Flags& flags) {
  CAIRN_TRY(SessionCatalog::ValidateName(flags.session));
  CAIRN_TRY(auto cold, OpenStore(flags, false, false));
  CAIRN_TRY(auto engine_options, flags.ToEngineOptions());
  std::unique_ptr<Workspace> workspace(new Workspace);
  CAIRN_TRY(workspace->engine_, Engine::Open(std::move(cold), engine_options));
  CAIRN_TRY(auto record, workspace->engine_->catalog().Find(flags.session));
  CAIRN_TRY(auto stored, ParseStoredShape(record.properties));
  CAIRN_TRY(workspace->profile_, SessionProfile::FromJson(stored.properties));
  CAIRN_TRY(flags.CheckAgainst(workspace->profile_));
  CAIRN_TRY(workspace->OpenModelFor(flags));
  CAIRN_TRY(workspace->Start(flags, false));
  return workspace;
}

Result<std::unique_ptr<Workspace>> Workspace::OpenOrCreate(const Flags& flags, bool raw) {
  CAIRN_TRY(SessionCatalog::ValidateName(flags.session));
  // The model first: a mistake in its name must not leave an empty store behind.
  CAIRN_TRY(auto model, flags.OpenModel());
  return OpenOrCreate(flags, raw, std::move(model));
}

Result<std::unique_ptr<Workspace>> Workspace::OpenOrCreate(const Flags& flags, bool raw,
                                                           std::unique_ptr<LoadedModel> model,
                                                           const Make& make) {
  CAIRN_TRY(SessionCatalog::ValidateName(flags.session));
  CAIRN_TRY(auto engine_options, flags.ToEngineOptions());
  CAIRN_TRY(auto fresh, flags.NewProfile(*model));
  fresh.raw = raw;
  if (!raw) CAIRN_TRY(model->Template());
  CAIRN_TRY(auto cold, OpenStore(flags, true, false));
  RocksColdStore* const store = cold.get();
  std::unique_ptr<Workspace> workspace(new Workspace);
  CAIRN_TRY(workspace->engine_, Engine::Open(std::move(cold), engine_options));
  workspace->store_ = store;
  auto record = workspace->engine_->catalog().Find(flags.session);
  if (record.has_value()) {
    CAIRN_TRY(auto stored, ParseStoredShape(record.value().properties));
    CAIRN_TRY(workspace->profile_, SessionProfile::FromJson(stored.properties));
    CAIRN_TRY(flags.CheckAgainst(workspace->profile_));
    if (raw && !workspace->profile_.raw) {
      return Fail(Errc::kMismatch, "session '{}' was made without --raw", flags.session);
    }
    // Without --adapter the remembered one is meant, and the model that is open lacks it.
    if (flags.adapters.empty() && !workspace->profile_.adapters.empty()) {
      CAIRN_TRY(workspace->OpenModelFor(flags));
    } else {
      workspace->model_ = std::move(model);
      CAIRN_TRY(workspace->CheckModel(flags));
    }
    CAIRN_TRY(workspace->Start(flags, false));
    return workspace;
  }
  if (record.error().code != Errc::kNotFound) return record.as_failure();
  workspace->profile_ = std::move(fresh);
  workspace->model_ = std::move(model);
  CAIRN_TRY(workspace->Start(flags, true, make));
  return workspace;
}

Result<std::unique_ptr<Workspace>> Workspace::OpenOnScratch(const Flags& flags,
                                                            std::unique_ptr<LoadedModel>& model,
                                                            uint64_t scratch_bytes) {
  CAIRN_TRY(SessionCatalog::ValidateName(flags.session));
  CAIRN_TRY(auto below, OpenStore(flags, false, true));
  CAIRN_TRY(auto scratch, ScratchColdStore::Open(std::move(below), scratch_bytes));
  CAIRN_TRY(auto engine_options, flags.ToEngineOptions());
  engine_options.read_only = true;
  std::unique_ptr<Workspace> workspace(new Workspace);
  CAIRN_TRY(workspace->engine_, Engine::Open(std::move(scratch), engine_options));
  CAIRN_TRY(const auto record, workspace->engine_->catalog().Find(flags.session));
  CAIRN_TRY(const auto stored, ParseStoredShape(record.properties));
  CAIRN_TRY(workspace->profile_, SessionProfile::FromJson(stored.properties));
  CAIRN_TRY(flags.CheckAgainst(workspace->profile_));
  workspace->model_ = std::move(model);
  const auto start = [&]() -> Status {
    CAIRN_TRY(workspace->CheckModel(flags));
    return workspace->Start(flags, false);
  };
  const Status started = start();
  if (started.has_value()) return workspace;
  model = Close(std::move(workspace));
  return started.error();
}

std::unique_ptr<LoadedModel> Workspace::Close(std::unique_ptr<Workspace> workspace) {
  workspace->runner_.reset();
  workspace->attention_.reset();
  workspace->session_.reset();
  return std::move(workspace->model_);
}

Result<std::unique_ptr<Workspace>> Workspace::OpenAt(const Flags& flags,
                                                     std::unique_ptr<Engine> engine,
                                                     const SessionRecord& last,
                                                     const ForkPoint& start) {
  std::unique_ptr<Workspace> workspace(new Workspace);
  workspace->engine_ = std::move(engine);
  CAIRN_TRY(auto stored, ParseStoredShape(last.properties));
  CAIRN_TRY(workspace->profile_, SessionProfile::FromJson(stored.properties));
  CAIRN_TRY(workspace->OpenModelFor(flags));
  CAIRN_TRY(const SessionShape shape, workspace->Prepare(flags));
  CAIRN_TRY(workspace->session_,
            workspace->engine_->OpenSessionAt(last, start, shape, workspace->options_));
  workspace->Attach();
  return workspace;
}

Result<std::unique_ptr<LoadedModel>> Workspace::Discard(std::unique_ptr<Workspace> workspace) {
  workspace->store_ = nullptr;  // which stays, for the next one
  const std::string name = workspace->session_->record().name;
  workspace->runner_.reset();
  workspace->attention_.reset();
  workspace->session_.reset();
  CAIRN_TRY(workspace->engine_->catalog().Delete(name));
  return std::move(workspace->model_);
}

Result<std::unique_ptr<Workspace>> Workspace::InMemory(const Flags& flags) {
  CAIRN_TRY(auto engine_options, flags.ToEngineOptions());
  std::unique_ptr<Workspace> workspace(new Workspace);
  CAIRN_TRY(workspace->model_, flags.OpenModel());
  CAIRN_TRY(workspace->profile_, flags.NewProfile(*workspace->model_));
  workspace->profile_.raw = true;
  CAIRN_TRY(workspace->engine_, Engine::Open(std::make_unique<MemoryColdStore>(), engine_options));
  Flags named = flags;
  named.session = "memory";
  CAIRN_TRY(workspace->Start(named, true));
  return workspace;
}

Status Workspace::ChoosePerToken() {
  SessionOptions options = options_;
  options.selection = Selection::kPerToken;
  return session_->SetOptions(options);
}

Status Workspace::ChooseAsReading() { return session_->SetOptions(options_); }

uint64_t Workspace::StoredBytes() const {
  const SessionShape& shape = session_->shape();
  return static_cast<uint64_t>(session_->rows() / shape.block.block_rows) * shape.partitions() *
         shape.block.payload_bytes();
}

}  // namespace cairn
