// CrowdBook: a text as a model would bring it, row by row, and what a session that read it alone,
// in memory, had after each step.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"

namespace cairn::test {

/// Every step has as many rows, so that a row's output depends on the rows before it and on nothing
/// else. Blocks have other sizes than steps, so that tails of all lengths are committed.
inline constexpr int32_t kBookStepRows = 6;
inline constexpr int32_t kBookSteps = 60;
inline constexpr int64_t kBookRows = int64_t{kBookStepRows} * kBookSteps;
/// A session can be forked behind whole blocks; with as many rows it is between steps too.
inline constexpr int64_t kBookForkRows = 12;
/// What a session remembers besides, as the command line would keep it of a text without a model.
inline constexpr const char* kBookProfile =
    R"({"model": {"path": "", "fingerprint": ""}, "adapters": [], "turn_open": false,)"
    R"( "options": {"mode": "unmodified", "block_tokens": 4, "representatives": 2, "chunk": 6,)"
    R"( "kv_type": "f16", "selection": "per-token", "raw": true}, "ingests": []})";

SessionShape BookShape();
SessionOptions BookOptions();

class CrowdBook {
 public:
  /// Draws the rows from `seed` and reads them in a session of their own.
  static Result<CrowdBook> Make(uint64_t seed);

  /// The next step of a session that has read up to here. `engine_lock` is called around what
  /// reaches the engine. kMismatch if an output differs from the one of a session alone.
  template <class Locked>
  Status Step(Session& session, Locked locked) const {
    std::vector<float> outputs;
    const int64_t first = session.rows();
    CAIRN_TRY(session.BeginStep(kBookStepRows));
    Status done = AttendAll(session, first, outputs);
    if (done) done = locked([&] { return session.EndStep(); });
    if (!done) {
      session.AbortStep();
      return done;
    }
    session.AddTokens(Tokens(first, kBookStepRows));
    return CompareOutputs(first, outputs);
  }

  std::vector<uint32_t> Tokens(int64_t first, int64_t count) const;
  /// What SessionDigest gives for a session with the first `rows` rows: the end of a step or of a
  /// block.
  const std::string& Digest(int64_t rows) const { return ends_.at(rows).digest; }
  const std::string& Tail(int64_t rows) const { return ends_.at(rows).tail; }

 private:
  struct End {
    std::string digest;
    std::string tail;
  };

  CrowdBook() = default;
  Status AddEnd(const SessionCatalog& catalog, const SessionRecord& record);
  /// `outputs` [L, rows of a step, Hq, D].
  Status AttendAll(Session& session, int64_t first, std::vector<float>& outputs) const;
  Status CompareOutputs(int64_t first, const std::vector<float>& outputs) const;

  uint64_t seed_ = 0;
  std::vector<float> q_, k_, v_;             // [L, rows, heads, D]
  std::vector<std::vector<float>> outputs_;  // of each step
  std::map<int64_t, End> ends_;              // by rows
};

}  // namespace cairn::test
