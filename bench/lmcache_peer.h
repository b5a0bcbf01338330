// LMCache beside our tiers: its local disk back end, a file for each block, in a Python process
// that is asked through a socket. Where the python3 of PATH can import lmcache.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/error.h"
#include "bench/child_process.h"
#include "bench/ladder_turn.h"

namespace cairn {

class LmcachePeer {
 public:
  /// Most blocks of one size: each is a file, and takes milliseconds to write.
  static constexpr uint32_t kMostBlocks = 1024;

  /// Starts it with its files in `directory`/lmcache; takes seconds. kNotFound with the reason if
  /// there is no LMCache, or none that works so.
  static Result<std::unique_ptr<LmcachePeer>> Start(const std::string& directory);

  const std::string& version() const { return version_; }
  /// Makes `blocks` blocks of `block_bytes`, a multiple of 256.
  Status Fill(uint64_t block_bytes, uint32_t blocks);
  /// Reads key.batch of the blocks that Fill made.
  Status Read(uint64_t block_bytes, bool direct, std::span<const uint32_t> blocks);
  /// Reads of key.batch blocks, by one reader. `direct`: past the page cache. The bytes are read by
  /// the other process, so this one's counters do not have them.
  std::unique_ptr<LadderCase> MakeCase(LadderKey key, uint32_t blocks, bool direct);

 private:
  explicit LmcachePeer(ChildProcess driver) : driver_(std::move(driver)) {}
  Status Send(std::span<const uint32_t> numbers);
  /// The text of an answer; kIo with it if something failed.
  Result<std::string> Receive();

  ChildProcess driver_;
  std::string version_;
};

}  // namespace cairn
