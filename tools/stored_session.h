// StoredSession: a session as it is stored, to be looked at and not continued: no weights, no
// tiers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/block_map.h"
#include "engine/options.h"
#include "storage/session_catalog.h"
#include "tools/flags.h"
#include "tools/session_profile.h"
#include "tools/session_text.h"

namespace cairn {

struct StoredSession {
  SessionRecord record;
  SessionProfile profile;
  SessionShape shape;
  BlockMap blocks;

  static Result<StoredSession> Find(const SessionCatalog& catalog, const std::string& name);
  static Result<StoredSession> FromRecord(SessionRecord record);

  /// Payload bytes of one of its ordinals, all layers and heads.
  uint64_t ordinal_bytes() const;
  uint64_t payload_bytes() const { return static_cast<uint64_t>(blocks.size()) * ordinal_bytes(); }
};

/// Bytes of the sketches that are stored of the session's keys; those of the first layer are read,
/// as each layer has as many. kCorruption if entries of that layer are damaged.
Result<uint64_t> SketchBytes(const SessionCatalog& catalog, const StoredSession& session);

/// Reads a session's text, with the tokenizer of --model or of the model that it was made with.
class StoredText {
 public:
  static Result<StoredText> Open(const Flags& flags, const StoredSession& session);
  Result<SessionText> Of(const SessionCatalog& catalog, const StoredSession& session) const;

 private:
  explicit StoredText(std::unique_ptr<LoadedModel> model) : model_(std::move(model)) {}
  std::unique_ptr<LoadedModel> model_;
};

/// Numbers from `first` on and before `end`.
struct NumberRange {
  int64_t first = 0;
  int64_t end = 0;
};

/// "A:B", "A:" or ":B" of at most `size`; `flag` is named in errors.
Result<NumberRange> ParseRange(const char* flag, std::string_view text, int64_t size);

/// How many ordinals of `record` no session of `others` has (`record` itself is passed over).
uint64_t OwnBlocks(const SessionRecord& record, const std::vector<SessionRecord>& others);
/// How many ordinals a delete would free: those behind all that others have of the same extent.
uint64_t FreedBlocks(const SessionRecord& record, const std::vector<SessionRecord>& others);

}  // namespace cairn
