// StoreWriter: writes sessions to a store on disk, at random, and knows what it was told.
//
// It works as an engine does: blocks are sealed into a TieredStore, flushed now and then, rolled
// back or committed; sessions are made, forked, renamed and deleted; the store is closed and
// opened. `told` is what was acknowledged, `in_flight` what the store may hold instead after an
// operation that failed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "base/error.h"
#include "storage/rocks_cold_store.h"
#include "storage/session_catalog.h"
#include "storage/tiered_store.h"
#include "tests/support/store_model.h"

namespace cairn::test {

class StoreWriter {
 public:
  StoreWriter(std::string path, const RocksColdStoreOptions& options, uint64_t seed)
      : path_(std::move(path)), options_(options), random_(seed) {}

  /// Opens store, catalog and tiers, making a store if there is none. Sealed blocks that were not
  /// committed are forgotten.
  Status Open();
  void Close();

  /// One random operation; the first error ends the writer, which must be closed then.
  Status Step();

  // The operations. An error leaves `in_flight` if the store may have got that far.
  Status Create();
  Status SealSome(const std::string& name);
  Status Flush();
  Status RollBack(const std::string& name);
  /// Rolls back whatever was not committed, also by a commit that failed.
  Status RollBackAll();
  Status Commit(const std::string& name);
  Status Delete(const std::string& name);
  Status Fork(const std::string& name);
  Status Rename(const std::string& name);
  Status ReadSome(const std::string& name);
  /// Forgets what was not committed, and compacts.
  Status Compact();

  /// Good if the open store is as told, or as in flight; that becomes what was told. With
  /// `opened_now` there must be no other blocks either.
  Status Verify(bool opened_now);

  bool open() const { return catalog_.has_value(); }
  const StoreModel& told() const { return told_; }
  const std::optional<StoreModel>& in_flight() const { return in_flight_; }
  void Expect(StoreModel told, std::optional<StoreModel> in_flight);
  /// Called when the store is about to be asked for a new state, and when it has said yes.
  std::function<void(const StoreModel& next)> on_ask;
  std::function<void()> on_told;
  uint64_t acknowledged() const { return acknowledged_; }

 private:
  /// Blocks of a session that are sealed and not committed.
  struct Growth {
    uint64_t seed = 0;
    uint64_t extent = 0;
    uint32_t first = 0;
    uint32_t blocks = 0;
  };

  uint32_t Pick(uint32_t below) { return static_cast<uint32_t>(random_() % below); }
  std::string AnySession();
  std::string NewName();
  Status StartGrowth(const std::string& name, Growth& growth);
  void Ask(StoreModel next);
  void Told();

  const std::string path_;
  const RocksColdStoreOptions options_;
  std::mt19937_64 random_;
  std::unique_ptr<RocksColdStore> store_;
  std::unique_ptr<TieredStore> tiers_;
  std::optional<SessionCatalog> catalog_;
  StoreModel told_;
  std::optional<StoreModel> in_flight_;
  std::map<std::string, Growth> growing_;
  uint64_t acknowledged_ = 0;
};

}  // namespace cairn::test
