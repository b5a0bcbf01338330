#include "tools/workspace.h"

#include <algorithm>
#include <filesystem>

#include "engine/stored_shape.h"
#include "storage/memory_cold_store.h"
#include "storage/scratch_cold_store.h"

namespace cairn {

Result<std::unique_ptr<RocksColdStore>> OpenStore(const RunOptions& run, bool create,
                                                  bool read_only) {
  RocksColdStoreOptions options;
  options.create = create;
  options.read_only = read_only;
  CAIRN_TRY(options.disk_limit_bytes, run.DiskLimit());
  return RocksColdStore::Open(run.store, options);
}

Result<std::unique_ptr<Engine>> OpenEngine(std::unique_ptr<RocksColdStore> store,
                                           const EngineOptions& options) {
  RocksColdStore& cold = *store;
  cold.RemoveIfNew();
  CAIRN_TRY(auto engine, Engine::Open(std::move(store), options));
  cold.RemoveIfNew(false);
  return engine;
}

void GiveUpNewStore(RocksColdStore& store, const SessionCatalog& catalog) {
  const auto all = catalog.List();
  if (all && all.value().sessions.empty() && all.value().unreadable.empty()) store.RemoveIfNew();
}

uint64_t ScratchBytes(const SessionShape& shape, int64_t tokens) {
  constexpr uint64_t kLeast = 1ull << 30;
  const auto blocks = static_cast<uint64_t>(2 * tokens / shape.block_tokens() + 1);
  const uint64_t block_bytes =
      static_cast<uint64_t>(shape.partitions()) * shape.block.payload_bytes();
  return std::max(kLeast, blocks * block_bytes);
}

namespace {

/// The shape that a store has a session with.
Result<SessionShape> ShapeIn(ColdStore& store, const std::string& session) {
  CAIRN_TRY(const auto catalog, SessionCatalog::Open(store, true));
  CAIRN_TRY(const auto record, catalog.Find(session));
  CAIRN_TRY(const auto stored, ParseStoredShape(record.properties));
  return ParseShape(stored.shape);
}

/// kNotFound saying how to go on if a file that the session was made with is not there any more.
Status CheckRemembered(const std::string& session, const std::string& path, const char* remedy) {
  std::error_code unreadable;  // is an error of opening it
  if (std::filesystem::exists(path, unreadable) || unreadable) return Ok();
  return Fail(Errc::kNotFound,
              "there is no file '{}' any more, which session '{}' was made with; {}", path, session,
              remedy);
}

}  // namespace

void Workspace::Take(std::unique_ptr<Engine> engine) {
  own_engine_ = std::move(engine);
  engine_ = own_engine_.get();
}

void Workspace::Take(std::unique_ptr<LoadedModel> model) {
  own_model_ = std::move(model);
  model_ = own_model_.get();
}

Status Workspace::FindProfile(const RunOptions& run) {
  CAIRN_TRY(auto record, engine_->catalog().Find(run.session));
  CAIRN_TRY(auto stored, ParseStoredShape(record.properties));
  CAIRN_TRY(profile_, SessionProfile::FromJson(stored.properties));
  return run.CheckAgainst(profile_);
}

Status Workspace::OpenModelFor(const RunOptions& run) {
  CAIRN_TRY(profile_.CheckOwnModel(run.session));
  const std::string path = run.model.empty() ? profile_.model_path : run.model;
  if (run.model.empty()) {
    CAIRN_TRY(CheckRemembered(run.session, path, "give its new place as --model"));
  }
  CAIRN_TRY(auto sources, run.AdapterSources());
  if (sources.empty()) {
    for (const auto& [adapter, fingerprint, scale] : profile_.adapters) {
      CAIRN_TRY(CheckRemembered(run.session, adapter,
                                "give its new place as --adapter, and all other adapters too"));
      sources.push_back({adapter, scale});
    }
  }
  CAIRN_TRY(auto model, LoadedModel::Open(path, sources));
  Take(std::move(model));
  return CheckModel(run);
}

Status Workspace::CheckModel(const RunOptions& run) const {
  CAIRN_TRY(profile_.CheckOwnModel(run.session));
  const std::string fingerprint = model_->file().Fingerprint();
  if (fingerprint != profile_.model_fingerprint) {
    return Fail(Errc::kMismatch,
                "session '{}' was made with another model ({}, fingerprint {}), not {} ({}); leave "
                "--model out, or give that one",
                run.session, profile_.model_path, profile_.model_fingerprint, model_->file().path(),
                fingerprint);
  }
  return profile_.CheckAdapters(run.session, model_->adapters());
}

Result<SessionShape> Workspace::Prepare(const RunOptions& run) {
  CAIRN_TRY(options_, run.ToSessionOptions(profile_));
  CAIRN_TRY(const auto engine_options, run.ToEngineOptions());
  reading_ = ReadingText(profile_, options_, engine_options.device);
  CAIRN_TRY(model_->LoadWeights(engine_options.device));
  model_->llama().Observe(run.timeline());
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

Status Workspace::Start(const RunOptions& run, bool create, const Make& make) {
  CAIRN_TRY(const SessionShape shape, Prepare(run));
  CAIRN_TRY(engine_->OpenTiers(shape, options_));
  metrics_ = run.metrics();
  if (metrics_ != nullptr) metrics_->Watch(counters_, engine_->steps(), *engine_->tiers());
  if (create) made_ = run.session;
  if (create && make) {
    CAIRN_TRY(const bool made, make(*this, shape));
    create = !made;
  }
  if (create) {
    CAIRN_TRY(session_, engine_->CreateSession(run.session, shape, options_, profile_.ToJson()));
  } else {
    CAIRN_TRY(session_, engine_->OpenSession(run.session, shape, options_));
  }
  Attach();
  return Ok();
}

Result<std::unique_ptr<Workspace>> Workspace::OpenExisting(const RunOptions& run) {
  CAIRN_TRY(SessionCatalog::ValidateName(run.session));
  CAIRN_TRY(auto cold, OpenStore(run, false, false));
  CAIRN_TRY(auto engine_options, run.ToEngineOptions());
  CAIRN_TRY(auto engine, Engine::Open(std::move(cold), engine_options));
  std::unique_ptr<Workspace> workspace(new Workspace);
  workspace->Take(std::move(engine));
  CAIRN_TRY(workspace->FindProfile(run));
  CAIRN_TRY(workspace->OpenModelFor(run));
  CAIRN_TRY(workspace->Start(run, false));
  return workspace;
}

Result<std::unique_ptr<Workspace>> Workspace::OpenIn(const RunOptions& run, Engine& engine,
                                                     LoadedModel& model) {
  CAIRN_TRY(SessionCatalog::ValidateName(run.session));
  std::unique_ptr<Workspace> workspace(new Workspace);
  workspace->engine_ = &engine;
  workspace->model_ = &model;
  CAIRN_TRY(workspace->FindProfile(run));
  CAIRN_TRY(workspace->CheckModel(run));
  CAIRN_TRY(workspace->Start(run, false));
  workspace->session_->SettleFirst();
  return workspace;
}

Result<std::unique_ptr<Workspace>> Workspace::CreateIn(const RunOptions& run, bool raw,
                                                       Engine& engine, LoadedModel& model) {
  CAIRN_TRY(engine.catalog().CheckFree(run.session));
  std::unique_ptr<Workspace> workspace(new Workspace);
  workspace->engine_ = &engine;
  workspace->model_ = &model;
  CAIRN_TRY(workspace->profile_, run.NewProfile(model));
  workspace->profile_.raw = raw;
  if (!raw) CAIRN_TRY(model.Template());
  CAIRN_TRY(workspace->Start(run, true));
  return workspace;
}

Result<std::unique_ptr<Workspace>> Workspace::OpenOrCreate(const RunOptions& run, bool raw) {
  CAIRN_TRY(SessionCatalog::ValidateName(run.session));
  // The model first: a mistake in its name must not leave an empty store behind.
  CAIRN_TRY(auto model, run.OpenModel());
  return OpenOrCreate(run, raw, std::move(model));
}

Result<std::unique_ptr<Workspace>> Workspace::OpenOrCreate(const RunOptions& run, bool raw,
                                                           std::unique_ptr<LoadedModel> model,
                                                           const Make& make) {
  CAIRN_TRY(SessionCatalog::ValidateName(run.session));
  CAIRN_TRY(auto engine_options, run.ToEngineOptions());
  CAIRN_TRY(auto fresh, run.NewProfile(*model));
  fresh.raw = raw;
  if (!raw) CAIRN_TRY(model->Template());
  CAIRN_TRY(auto cold, OpenStore(run, true, false));
  RocksColdStore* const store = cold.get();
  CAIRN_TRY(auto engine, OpenEngine(std::move(cold), engine_options));
  std::unique_ptr<Workspace> workspace(new Workspace);
  workspace->Take(std::move(engine));
  workspace->store_ = store;
  auto record = workspace->engine_->catalog().Find(run.session);
  if (record.has_value()) {
    CAIRN_TRY(auto stored, ParseStoredShape(record.value().properties));
    CAIRN_TRY(workspace->profile_, SessionProfile::FromJson(stored.properties));
    CAIRN_TRY(run.CheckAgainst(workspace->profile_));
    if (raw && !workspace->profile_.raw) {
      return Fail(Errc::kMismatch, "session '{}' was made without --raw", run.session);
    }
    // Without --adapter the remembered one is meant, and the model that is open lacks it.
    if (run.adapters.empty() && !workspace->profile_.adapters.empty()) {
      CAIRN_TRY(workspace->OpenModelFor(run));
    } else {
      workspace->Take(std::move(model));
      CAIRN_TRY(workspace->CheckModel(run));
    }
    CAIRN_TRY(workspace->Start(run, false));
    workspace->session_->SettleFirst();
    return workspace;
  }
  if (record.error().code != Errc::kNotFound) return record.as_failure();
  workspace->profile_ = std::move(fresh);
  workspace->Take(std::move(model));
  CAIRN_TRY(workspace->Start(run, true, make));
  return workspace;
}

Result<std::unique_ptr<Workspace>> Workspace::OpenOnScratch(const RunOptions& run,
                                                            std::unique_ptr<LoadedModel>& model,
                                                            int64_t scratch_tokens) {
  CAIRN_TRY(SessionCatalog::ValidateName(run.session));
  CAIRN_TRY(auto below, OpenStore(run, false, true));
  CAIRN_TRY(const SessionShape shape, ShapeIn(*below, run.session));
  CAIRN_TRY(auto scratch,
            ScratchColdStore::Open(std::move(below), ScratchBytes(shape, scratch_tokens)));
  CAIRN_TRY(auto engine_options, run.ToEngineOptions());
  engine_options.read_only = true;
  CAIRN_TRY(auto engine, Engine::Open(std::move(scratch), engine_options));
  std::unique_ptr<Workspace> workspace(new Workspace);
  workspace->Take(std::move(engine));
  CAIRN_TRY(workspace->FindProfile(run));
  workspace->Take(std::move(model));
  const auto start = [&]() -> Status {
    CAIRN_TRY(workspace->CheckModel(run));
    return workspace->Start(run, false);
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
  return std::move(workspace->own_model_);
}

Result<std::unique_ptr<Workspace>> Workspace::OpenAt(const RunOptions& run,
                                                     std::unique_ptr<Engine> engine,
                                                     const SessionRecord& last,
                                                     const ForkPoint& start) {
  std::unique_ptr<Workspace> workspace(new Workspace);
  workspace->Take(std::move(engine));
  CAIRN_TRY(auto stored, ParseStoredShape(last.properties));
  CAIRN_TRY(workspace->profile_, SessionProfile::FromJson(stored.properties));
  CAIRN_TRY(workspace->OpenModelFor(run));
  CAIRN_TRY(const SessionShape shape, workspace->Prepare(run));
  CAIRN_TRY(workspace->session_,
            workspace->engine_->OpenSessionAt(last, start, shape, workspace->options_));
  workspace->session_->SettleFirst();
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
  return std::move(workspace->own_model_);
}

Result<std::unique_ptr<Workspace>> Workspace::InMemory(const RunOptions& run) {
  CAIRN_TRY(auto engine_options, run.ToEngineOptions());
  std::unique_ptr<Workspace> workspace(new Workspace);
  CAIRN_TRY(auto model, run.OpenModel());
  workspace->Take(std::move(model));
  CAIRN_TRY(workspace->profile_, run.NewProfile(*workspace->model_));
  workspace->profile_.raw = true;
  CAIRN_TRY(auto engine, Engine::Open(std::make_unique<MemoryColdStore>(), engine_options));
  workspace->Take(std::move(engine));
  RunOptions named = run;
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
