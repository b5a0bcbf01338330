// Verifier: reads all that a store holds of its sessions and tells what is damaged.
//
// It goes on after damage, and writes nothing. A store that a writer works on may seem damaged, as
// files go away while they are read: what counts is what a second look at the store, opened anew,
// finds too. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "storage/block_scan.h"
#include "storage/session_catalog.h"

namespace cairn {

struct Damage {
  std::string session{};           ///< name; empty: of the whole store
  std::optional<BlockId> block{};  ///< without one: of the catalog
  uint64_t ordinal = 0;            ///< of the block in the session
  std::string what{};              ///< one sentence
  bool summary = false;            ///< of a summary section, which follows from whole blocks
  Errc code = Errc::kCorruption;

  bool unreadable() const { return IsUnreadable(code); }
};

struct VerifyTotals {
  uint64_t sessions = 0;
  uint64_t entries = 0;        ///< of the catalog, those that sessions share each time
  uint64_t blocks = 0;         ///< of one layer and head; those that sessions share once
  uint64_t payload_bytes = 0;  ///< of these blocks
};

/// Blocks of a session from the first on, before the first that has damage.
struct WholeBlocks {
  uint64_t payloads = 0;   ///< those whose records are whole
  uint64_t summaries = 0;  ///< those that have summaries

  uint64_t both() const { return std::min(payloads, summaries); }
};

class Verifier {
 public:
  /// Sees after some megabytes how many blocks of the session are done; its error ends the check.
  using Watch = FunctionRef<Status(uint64_t done, uint64_t total)>;

  /// `cold` must outlive it.
  explicit Verifier(ColdStore& cold) : cold_(cold) {}

  /// Checks the entries of the store itself and of each session; gives the sessions that can be
  /// checked further. An error only if the store has another format.
  Result<std::vector<SessionRecord>> CheckStore();
  /// Checks a session's tokens and tail; says how many tokens from the first on are there.
  uint64_t CheckEntries(const SessionRecord& record);
  /// Checks its summaries, which must cover all blocks with sections of this type, and its blocks;
  /// says how many are whole from the first on, in all layers and heads.
  Result<WholeBlocks> CheckBlocks(const SessionRecord& record, const BlockGrid& grid,
                                  uint16_t section_type, Watch watch);
  /// For what the layers above find.
  void Add(Damage damage) { damages_.push_back(std::move(damage)); }

  const std::vector<Damage>& damages() const { return damages_; }
  /// The first that is damaged, else the first that could not be read; null if all is whole.
  const Damage* Worst() const;
  const VerifyTotals& totals() const { return totals_; }

 private:
  /// Blocks of an extent that were read, for the next session that has them.
  struct CheckedExtent {
    uint64_t end = 0;  // all below it were
    std::map<BlockId, Error> damaged{};
  };

  void AddEntry(const std::string& session, std::string what, Errc code = Errc::kCorruption);
  void AddBlock(const std::string& session, const BlockId& id, uint64_t ordinal,
                const Error& error);
  /// The entries below `prefix`; none, and a damage, if they cannot be read.
  MetaEntries Scan(const std::string& session, std::string_view prefix);
  uint64_t CheckTokens(const SessionRecord& record);
  uint64_t CheckSections(const SessionRecord& record, const BlockGrid& grid, uint16_t type);
  /// Of one layer in one range: says up to which ordinal there are summaries from the first on.
  uint64_t CheckLayer(const SessionRecord& record, const ExtentRange& range, uint16_t layer,
                      uint16_t type);
  Status CheckRange(const SessionRecord& record, const BlockGrid& grid, const ExtentRange& range,
                    uint64_t ordinal, Watch watch);

  ColdStore& cold_;
  std::map<uint64_t, CheckedExtent> extents_;
  std::vector<Damage> damages_;
  VerifyTotals totals_;
};

}  // namespace cairn
