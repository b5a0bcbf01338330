// Engine: owns the store, its tiers and its catalog, and opens sessions on them. Everything a
// program needs to give a model a long memory begins here:
//
//   auto cold = RocksColdStore::Open(...);
//   auto engine = Engine::Open(std::move(cold), EngineOptions{});
//   auto session = engine->CreateSession("book", shape, options, "{}");
//   session->BeginStep(rows); session->Attend(layer, q, k, v, o); ... session->Commit("{}");
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/device.h"
#include "base/error.h"
#include "engine/options.h"
#include "engine/session.h"
#include "engine/step_counts.h"
#include "storage/cold_store.h"
#include "storage/session_catalog.h"
#include "storage/tiered_store.h"

namespace cairn {

struct EngineOptions {
  uint64_t host_bytes = 512ull << 20;  ///< budget of the host tier
  uint64_t compute_bytes = 0;          ///< budget of the compute tier; 0: attend in the host tier
  /// Number of the device that has the compute tier and attends over it, and the representatives of
  /// sessions whose index is `auto`. The tier's budget is half of the memory that is free there if
  /// compute_bytes is 0.
  std::optional<int32_t> device = std::nullopt;
  bool read_ahead = false;       ///< read what the next layer may want while one computes
  bool read_only = false;        ///< sessions can be listed, not made or extended
  AccessTrace* trace = nullptr;  ///< told of every access to blocks; must outlive the engine
  Timeline* timeline = nullptr;  ///< told what takes how long; must outlive the engine
};

/// Not thread-safe: one control thread. Sessions must be closed before their engine.
class Engine {
 public:
  static Result<std::unique_ptr<Engine>> Open(std::unique_ptr<ColdStore> cold,
                                              const EngineOptions& options);

  /// Checks that sessions of this shape can be opened, and sets their memory aside; opening one
  /// does so too. kResource if what one fetch pins by these options does not fit into a tier. All
  /// sessions that are open have blocks of one size, kMismatch else: the tiers are slabs of such
  /// slots.
  Status OpenTiers(const SessionShape& shape, const SessionOptions& options);
  /// Makes an empty session, durable at once. `properties` is a text of the caller's.
  Result<std::unique_ptr<Session>> CreateSession(const std::string& name, const SessionShape& shape,
                                                 const SessionOptions& options,
                                                 const std::string& properties);
  /// Opens a session at its last commit. kMismatch if it was made with another shape.
  Result<std::unique_ptr<Session>> OpenSession(const std::string& name, const SessionShape& shape,
                                               const SessionOptions& options);

  /// Opens a session as it was at `start`, before `last`, its last commit. The next commit takes
  /// the place of that one; until then the store has what it had.
  Result<std::unique_ptr<Session>> OpenSessionAt(const SessionRecord& last, const ForkPoint& start,
                                                 const SessionShape& shape,
                                                 const SessionOptions& options);

  SessionCatalog& catalog() { return catalog_; }
  ColdStore& cold() { return *cold_; }
  /// Of the options; null: there is none.
  const Device* device() const { return device_.get(); }
  /// Null until a session was opened; others when, with none open, one has blocks of another size.
  const TieredStore* tiers() const { return tiers_.get(); }
  /// Of all its sessions; none without a device.
  const StepCounts& steps() const { return steps_; }

 private:
  Engine(std::unique_ptr<ColdStore> cold, SessionCatalog catalog, const EngineOptions& options)
      : cold_(std::move(cold)), catalog_(std::move(catalog)), options_(options) {}
  /// That blocks of this session are asked for from now on.
  void TellTrace(const SessionRecord& record);
  std::unique_ptr<Device> device_;
  std::unique_ptr<ColdStore> cold_;
  SessionCatalog catalog_;
  EngineOptions options_;
  std::unique_ptr<TieredStore> tiers_;
  TieredStoreOptions tier_options_;  // that they were opened with
  StepCounts steps_;
  std::atomic<int32_t> open_sessions_ = 0;
};

}  // namespace cairn
