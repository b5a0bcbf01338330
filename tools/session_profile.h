// SessionProfile: what the command line keeps with a session: the model it belongs to, the options
// that shaped its past, the texts it has read and where the conversation stands.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/options.h"
#include "tools/beginning.h"
#include "tools/loaded_model.h"

namespace cairn {

/// A text the session has read, or is reading.
struct IngestRecord {
  std::string hash;         ///< of the text's bytes; empty if its rest was given up
  std::string source;       ///< file name, for messages
  int64_t limit = 0;        ///< --tokens; 0 means the whole text
  int64_t start_token = 0;  ///< session tokens before it
  int64_t tokens = 0;       ///< tokens it adds, framing included
  bool opens_turn = false;  ///< a user's turn was opened in front of it
  bool done = false;
};

/// An adapter the session was made with.
struct AdapterRecord {
  std::string path;
  std::string fingerprint;  ///< of the file and the scale
  double scale = 1.0;
};

struct SessionProfile {
  std::string model_path;  ///< empty if another program runs the model
  std::string caller;      ///< what that program calls it; else empty
  std::string model_fingerprint;
  std::vector<AdapterRecord> adapters;  ///< as they were given
  AttentionMode mode = AttentionMode::kUnmodified;
  int block_tokens = 64;  ///< regular tokens in a block
  int representatives = 4;
  DType kv_type = DType::kF16;
  int chunk = 256;                             ///< rows in a reading step
  Selection selection = Selection::kPerChunk;  ///< while reading
  bool raw = false;                            ///< plain text, no chat template
  bool turn_open = false;                      ///< a user's turn stands open at the end
  std::vector<IngestRecord> ingests;
  Beginning beginning;  ///< what another session may share

  std::string ToJson() const;
  static Result<SessionProfile> FromJson(const std::string& text);
  /// What the digest covers of it: model, adapters and the options that shape the past.
  std::string DigestText() const;
  /// kMismatch naming the session if another program runs the model, so that cairn cannot go on.
  Status CheckOwnModel(const std::string& session) const;
  /// What keeps a session of this profile from sharing blocks with one of `other`, in a few words;
  /// empty if nothing does.
  std::string WhyNotAlike(const SessionProfile& other) const;
  /// Whether a session of this profile could end after `token` tokens and be continued: inside or
  /// behind a text that it reads, but not inside a conversation that was kept.
  bool CanEndAt(int64_t token) const;
  /// Makes it the profile at such an end: a text that reaches further is unfinished, later ones
  /// were not read.
  void EndAt(int64_t token);
  /// A text that is half read ends with token `token`, as something else follows there. Its rest
  /// cannot be read any more: the same text is a new one from then on.
  void EndText(int64_t token);
  /// kMismatch naming the session and what differs if `given`, in any order, are not the adapters
  /// it was made with.
  Status CheckAdapters(const std::string& session, const AdapterSet& given) const;
  /// The engine's shape for this model. `context` is the most rows attention may span.
  SessionShape Shape(const LlamaConfig& config, const LandmarkInfo* landmark) const;
};

}  // namespace cairn
