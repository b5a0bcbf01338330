// SessionCatalog: the durable list of sessions, and the one atomic step that extends one.
//
// It speaks to the ColdStore's metadata. Everything above storage/ that must survive travels in
// `properties`, a JSON text this room does not read. docs/format.md gives every byte. Not
// thread-safe: one control thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "storage/block_id.h"
#include "storage/cold_store.h"

namespace cairn {

/// The version of everything in a store; docs/format.md describes this one.
inline constexpr uint32_t kStoreFormatVersion = 2;

struct SessionRecord {
  uint64_t id = 0;  ///< never used again
  std::string name{};
  std::string properties{};  ///< JSON, of the layers above
  uint64_t tokens = 0;       ///< committed tokens
  uint64_t rows = 0;         ///< committed rows (tokens, and landmark rows if there are any)
  uint64_t tail_bytes = 0;   ///< size of the unfinished blocks' bytes
  std::vector<ExtentRange> ranges{};  ///< its sealed blocks, in order
  uint64_t commits = 0;
};

/// A session whose entry cannot be read. Nobody knows which blocks it has.
struct UnreadableSession {
  std::string name{};
  std::string what{};  ///< one sentence
};

struct SessionList {
  std::vector<SessionRecord> sessions{};
  std::vector<UnreadableSession> unreadable{};
};

/// Packed summaries of consecutive blocks of one layer (all heads): landmarks, say. Typed and
/// versioned so that other kinds can be added beside it.
struct SummarySection {
  uint16_t type = 0;
  uint16_t version = 0;
  uint64_t extent = 0;
  uint16_t layer = 0;
  uint32_t first = 0;   ///< ordinal in the extent
  uint32_t count = 0;   ///< blocks summarised
  std::string bytes{};  ///< `count` equal parts
};

/// What one commit adds. `record` is the session's state after it.
struct SessionCommit {
  SessionRecord record{};
  std::vector<uint32_t> new_tokens{};      ///< tokens added since the previous commit
  bool replaces = false;                   ///< takes its place: new_tokens are all there are
  std::string tail{};                      ///< replaces the unfinished blocks' bytes
  std::vector<SummarySection> sections{};  ///< of the blocks sealed since the previous commit
};

/// Where a fork leaves its source: behind whole blocks, where nothing is unfinished.
struct ForkPoint {
  uint64_t blocks = 0;  ///< sealed blocks before it
  uint64_t tokens = 0;
  uint64_t rows = 0;
  std::string properties{};  ///< of the session that ends there
};

/// `source` as it was at `point`.
SessionRecord CutAt(const SessionRecord& source, const ForkPoint& point);

class SessionCatalog {
 public:
  /// Checks the store's format version (kUnsupported: not this program's; an empty store gets it
  /// unless `read_only`). As a writer it also drops what a crashed run left:
  /// blocks no session's range covers; none while a session's entry is unreadable. `cold` must
  /// outlive the catalog.
  static Result<SessionCatalog> Open(ColdStore& cold, bool read_only);

  /// A name is 1 to 128 of letters, digits, '.', '_', '-', not starting with '.' or '-'.
  static Status ValidateName(std::string_view name);

  /// Damage to one session's entry hides no other session.
  Result<SessionList> List() const;
  /// kNotFound names the session and says what sessions there are.
  Result<SessionRecord> Find(std::string_view name) const;
  /// kExists if a session has this name, kInvalidArgument if none can have it.
  Status CheckFree(std::string_view name) const;
  /// A new empty session, durable on return. kExists if the name is taken.
  Result<SessionRecord> Create(std::string_view name, std::string properties);
  /// Makes `commit` a new session and gives its record with the id; all of it becomes durable, or
  /// nothing. Blocks of the ranges must have been written before. kExists if the name is taken.
  Result<SessionRecord> Add(SessionCommit commit);
  /// A new session that shares the sealed blocks of `source` and has tokens, tail and properties of
  /// its own; with `point` it is the beginning of `source` up to there. One atomic step that copies
  /// no payload. kExists if the name is taken.
  Result<SessionRecord> Fork(const SessionRecord& source, std::string_view name,
                             const std::optional<ForkPoint>& point);
  /// An extent id that was never given before; durable before it is returned.
  Result<uint64_t> NewExtent();
  /// The commit point: all of it becomes the session's state, or nothing does. Blocks of the
  /// ranges must have been flushed before.
  Status Commit(const SessionCommit& commit);
  /// Takes back all of a session that stands behind `point`, in one atomic step; `record` is its
  /// last commit. Blocks that no session has any more go when the next writer opens the store.
  Status Cut(const SessionRecord& record, const ForkPoint& point);
  /// Gives a session another name, in one atomic step. kExists if that is taken.
  Status Rename(std::string_view name, std::string_view new_name);
  /// Removes the session, and those of its blocks that no other session covers; says how many
  /// ordinals these were. While another session is unreadable it may cover any block, and all stay.
  /// A session can be deleted whose properties mean nothing, and one that is unreadable itself: the
  /// blocks of that go when the next writer opens the store.
  Result<uint64_t> Delete(std::string_view name);

  /// Removes entries that no session has, in one atomic step, and says how many there were (those
  /// of one session or extent count as one). None while a session is unreadable.
  Result<uint64_t> RemoveLeftovers();

  Result<std::vector<uint32_t>> ReadTokens(const SessionRecord& record) const;
  /// How many tokens each step of the session brought, in order: a commit that had any, or all that
  /// a fork, an import or a repair began with.
  Result<std::vector<uint64_t>> ReadTokenCounts(const SessionRecord& record) const;
  Result<std::string> ReadTail(const SessionRecord& record) const;
  /// Sections of one layer and type (none: of all types) that lie in the record's ranges, in
  /// session order. A section reaching past a range is cut to it.
  Result<std::vector<SummarySection>> ReadSections(const SessionRecord& record,
                                                   std::optional<uint16_t> type,
                                                   uint16_t layer) const;
  /// Puts `sections` in the place of all that begin before block `end` of the extent, damaged ones
  /// too, in one atomic step.
  Status ReplaceSections(uint64_t extent, uint32_t end,
                         const std::vector<SummarySection>& sections);

 private:
  SessionCatalog(ColdStore& cold, uint64_t next_extent, uint64_t next_session)
      : cold_(&cold), next_extent_(next_extent), next_session_(next_session) {}
  /// Adds to `batch` what a session loses whose commit `before` another one replaces.
  Status AddReplaced(const SessionRecord& before, const SessionRecord& after,
                     MetaBatch& batch) const;
  /// The tokens, by entry.
  Result<std::vector<std::vector<uint32_t>>> ReadTokenEntries(const SessionRecord& record) const;
  Status DeleteUnreadable(std::string_view name, const SessionList& all);
  Result<std::string> NamesForMessage() const;
  ColdStore* cold_;
  uint64_t next_extent_;
  uint64_t next_session_;
};

}  // namespace cairn
