// Reader: reads a text into a workspace's session, step by step and committing on the way, so that
// it can be stopped at any moment and goes on from there.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
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

  /// Adds the record of a text that is to be read next; hash, source and limit are the caller's.
  void Begin(IngestRecord record);
  /// The same for a session that has `token` tokens and need not be open.
  static void BeginAt(int64_t token, SessionProfile& profile, IngestRecord record);

  /// Tokens of the session's last text that are read already.
  int64_t done() const;

  /// Reads what is left of `tokens`, which are all that the last text adds, opening included.
  /// Commits about every 4,096 tokens and at the end. kInterrupted after Ctrl-C; what was read is
  /// committed then, and Read goes on with it.
  Status Read(std::span<const uint32_t> tokens, const Watch& watch);

 private:
  Workspace& workspace_;
};

}  // namespace cairn
