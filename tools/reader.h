// Reader: reads a text into a workspace's session, step by step and committing on the way, so that
// it can be stopped at any moment and goes on from there.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tools/workspace.h"

namespace cairn {

class Reader {
 public:
  /// Sees after each step how many tokens of the text are read, those of earlier runs included.
  using Watch = std::function<void(int64_t done)>;

  /// `workspace` must outlive it.
  explicit Reader(Workspace& workspace) : workspace_(workspace) {}

  /// What stands in front of a text: the start of a conversation if the text is its `first`, and of
  /// a user's turn if the text opens one. In a `raw` session the token that begins every text.
  static Result<std::vector<uint32_t>> Opening(const LoadedModel& model, bool raw, bool first,
                                               bool opens_turn);

  /// What a session remembers of a text; `limit`: its first tokens only, 0: all.
  static IngestRecord RecordOf(std::string_view text, std::string source, int64_t limit);
  /// Finds the text that the session is in the middle of reading, or begins it. False if it was
  /// read before and is not to be read `again`; kMismatch in the middle of another one.
  Result<bool> BeginOrGoOn(IngestRecord record, bool again);
  /// All tokens that the session's last text adds: what stands in front of it, then `text`.
  /// kInvalidArgument if there are none.
  Result<std::vector<uint32_t>> Tokens(std::string_view text) const;

  /// Adds the record of a text that is to be read next; hash, source and limit are the caller's.
  void Begin(IngestRecord record);
  /// The same for a session that has `token` tokens and need not be open.
  static void BeginAt(int64_t token, SessionProfile& profile, IngestRecord record);

  /// Tokens of the session's last text that are read already.
  int64_t done() const;

  /// Reads what is left of `tokens`, which are all that the last text adds, opening included.
  /// Commits about every 4,096 tokens and at the end. kInterrupted after Ctrl-C, or when `stop`
  /// said so; what was read is committed then, and Read goes on with it. kMismatch if what was read
  /// before is not how they begin.
  Status Read(std::span<const uint32_t> tokens, const Watch& watch);
  /// `stop` is asked after each step; true ends Read.
  void StopWhen(std::function<bool()> stop) { stop_ = std::move(stop); }

 private:
  Status CheckReadBefore(std::span<const uint32_t> tokens) const;

  Workspace& workspace_;
  std::function<bool()> stop_;  // may be empty
};

}  // namespace cairn
