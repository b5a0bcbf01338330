// A session's past that nobody read: random numbers, committed as the past of a session that read
// as much, and opened as that would be.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "engine/options.h"
#include "storage/session_catalog.h"

namespace cairn {

/// Numbers as if normally distributed, of mean 0 and standard deviation 1, quickly: sums of four
/// uniform ones, so that none is beyond 3.5. They follow from the seeds.
class QuickNormals {
 public:
  QuickNormals(uint64_t seed, uint64_t sequence);
  void Fill(float scale, std::span<float> values);

 private:
  uint64_t Next();
  uint64_t state_;
};

struct RandomPast {
  SessionShape shape;
  int64_t blocks = 0;  ///< of each layer and KV head, below 2^31
  uint64_t seed = 1;

  int64_t rows() const { return blocks * shape.block.block_rows; }
  int64_t tokens() const { return blocks * shape.block_tokens(); }
  /// Memory of the host that it takes besides payloads: what is kept, and what there is more while
  /// it is made or opened.
  uint64_t KeptBytes() const;
  uint64_t PassingBytes() const;

  /// Representatives of blocks [first, first + count) of a layer, packed as summaries are stored.
  /// As keys of a model with random weights have, their numbers have a standard deviation of 1,
  /// and means of n keys one of 1/√n; each block's are its own. Same for any split into calls.
  std::string Summaries(int32_t layer, int64_t first, int64_t count) const;
  /// A payload of random rows, in the type that blocks are stored in.
  void WritePayload(const BlockId& id, std::byte* payload) const;

  /// Makes a new session `name` of it, in commits of some blocks; who reads these finds them in
  /// `extent`, which is the catalog's. `stop` is asked before each, with a line about progress;
  /// kInterrupted if it says so.
  Status Commit(const std::string& name, uint64_t extent, SessionCatalog& catalog,
                FunctionRef<bool(const std::string&)> stop) const;
};

}  // namespace cairn
