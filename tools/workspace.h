// Workspace: a store, a session in it, and the model that continues it, opened together for one
// command; or a session of a store that is open already, with a model that is.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "model/runner.h"
#include "model/session_attention.h"
#include "storage/rocks_cold_store.h"
#include "tools/loaded_model.h"
#include "tools/run_counters.h"
#include "tools/run_options.h"
#include "tools/session_profile.h"

namespace cairn {

/// Opens a store directory. `create`: make it if there is none.
Result<std::unique_ptr<RocksColdStore>> OpenStore(const RunOptions& run, bool create,
                                                  bool read_only);

/// An engine over a store; one that was made for it goes again if the engine does not come to be.
Result<std::unique_ptr<Engine>> OpenEngine(std::unique_ptr<RocksColdStore> store,
                                           const EngineOptions& options);

/// Gives a store up that was made for a session which did not come to be: if it has none, it goes
/// when it is closed. Nothing happens to a store that was there.
void GiveUpNewStore(RocksColdStore& store, const SessionCatalog& catalog);

/// How much of a session's keys and values may be in memory on top of its store, so that `tokens`
/// and what a template puts around them have room: twice theirs, and 1 GiB at least.
uint64_t ScratchBytes(const SessionShape& shape, int64_t tokens);

class Workspace {
 public:
  /// Takes a session back that it made and never committed to, and a store that was made for it.
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  /// Opens an existing session; its model is the remembered one, or --model if the fingerprint
  /// agrees. Checks run against the session before weights are read.
  static Result<std::unique_ptr<Workspace>> OpenExisting(const RunOptions& run);
  /// The same, or a new session made with --model.
  static Result<std::unique_ptr<Workspace>> OpenOrCreate(const RunOptions& run, bool raw);
  /// The same with a model that is open already, perhaps with its weights. `make`, if there is one,
  /// may make the new session itself, from the workspace's profile, model and engine; true if it
  /// did.
  using Make = std::function<Result<bool>(Workspace&, const SessionShape&)>;
  static Result<std::unique_ptr<Workspace>> OpenOrCreate(const RunOptions& run, bool raw,
                                                         std::unique_ptr<LoadedModel> model,
                                                         const Make& make = nullptr);
  /// An existing session on scratch: its store is read as it is now and never written to, beside a
  /// writer too; what comes on top is in memory, with room for `scratch_tokens` at least. Takes
  /// `model`, perhaps with its weights, unless it fails. kMismatch if the session is another
  /// model's.
  static Result<std::unique_ptr<Workspace>> OpenOnScratch(const RunOptions& run,
                                                          std::unique_ptr<LoadedModel>& model,
                                                          int64_t scratch_tokens);
  /// Closes `workspace` and returns the model for the next.
  static std::unique_ptr<LoadedModel> Close(std::unique_ptr<Workspace> workspace);
  /// A session in memory only, for commands without --store.
  static Result<std::unique_ptr<Workspace>> InMemory(const RunOptions& run);

  /// A session of an engine and with a model that are open already and must outlive the workspace:
  /// an existing one, made with this model, or a new one. The model's weights are read if need be.
  static Result<std::unique_ptr<Workspace>> OpenIn(const RunOptions& run, Engine& engine,
                                                   LoadedModel& model);
  static Result<std::unique_ptr<Workspace>> CreateIn(const RunOptions& run, bool raw,
                                                     Engine& engine, LoadedModel& model);

  /// An existing session as it was at `start`, in a store that is open already; the next commit
  /// takes the place of `last`, its last one. The profile is that of the last commit.
  static Result<std::unique_ptr<Workspace>> OpenAt(const RunOptions& run,
                                                   std::unique_ptr<Engine> engine,
                                                   const SessionRecord& last,
                                                   const ForkPoint& start);

  /// Closes `workspace`, deletes its session from the store, and returns the model for the next.
  static Result<std::unique_ptr<LoadedModel>> Discard(std::unique_ptr<Workspace> workspace);

  Session& session() { return *session_; }
  LoadedModel& model() { return *model_; }
  Runner& runner() { return *runner_; }
  SessionProfile& profile() { return profile_; }
  Engine& engine() { return *engine_; }
  /// How the steps of this command read; see ReadingText.
  const std::string& reading() const { return reading_; }

  /// Commits the session with the profile as it is now.
  Status Commit();
  /// What this command has read, made and committed so far.
  RunCounters& counters() { return counters_; }
  /// Questions and answers choose per token; reading as the session was made.
  Status ChoosePerToken();
  Status ChooseAsReading();

  /// Payload bytes of the sealed blocks.
  uint64_t StoredBytes() const;
  std::vector<TierReport> Tiers() const { return engine_->tiers()->Report(); }
  const StepCounts& Steps() const { return engine_->steps(); }

 private:
  Workspace() = default;
  void Take(std::unique_ptr<Engine> engine);
  void Take(std::unique_ptr<LoadedModel> model);
  /// Finds the session of `run` in the engine; checks what is given against what it was made with.
  Status FindProfile(const RunOptions& run);
  Status OpenModelFor(const RunOptions& run);
  /// kMismatch if the model or its adapter is not the one the session was made with.
  Status CheckModel(const RunOptions& run) const;
  Status Start(const RunOptions& run, bool create, const Make& make = nullptr);
  /// Options, weights and shape, and then what the session needs around it.
  Result<SessionShape> Prepare(const RunOptions& run);
  void Attach();

  // Declared so that what refers to another member is destroyed before it.
  std::unique_ptr<LoadedModel> own_model_;  // null for one that was open already
  LoadedModel* model_ = nullptr;
  SessionProfile profile_;
  SessionOptions options_;
  std::string reading_;
  RunCounters counters_;
  RunMetrics* metrics_ = nullptr;       // that watches this; may be null
  RocksColdStore* store_ = nullptr;     // the engine's, of a workspace that may make sessions
  std::string made_;                    // name of the session that it has made or is about to make
  std::unique_ptr<Engine> own_engine_;  // null for one that was open already
  Engine* engine_ = nullptr;
  std::unique_ptr<Session> session_;
  std::unique_ptr<SessionAttention> attention_;
  std::unique_ptr<Runner> runner_;
};

}  // namespace cairn
