// A plain RocksDB with its default options beside our store: blocks as values, read by MultiGet.
// Defaults read through the page cache.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "bench/ladder_turn.h"

namespace cairn {

class RocksPeer {
 public:
  /// Makes a database in `directory` with about `total_bytes` of blocks.
  static Result<std::unique_ptr<RocksPeer>> Make(const std::string& directory, uint64_t block_bytes,
                                                 uint64_t total_bytes, FunctionRef<bool()> stop);
  ~RocksPeer();

  uint32_t blocks() const { return blocks_; }
  /// Reads of key.batch blocks. `cold`: what the page cache had is taken out before each turn, and
  /// the turn ends before a block is read again. Else blocks that the page cache holds.
  std::unique_ptr<LadderCase> MakeCase(LadderKey key, bool cold);

 private:
  struct Database;
  class Reads;
  explicit RocksPeer(std::unique_ptr<Database> database, uint32_t blocks);

  std::unique_ptr<Database> database_;
  uint32_t blocks_;
};

}  // namespace cairn
