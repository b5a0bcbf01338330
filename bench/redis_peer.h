// Redis beside our tiers: a server of the bench's own on a private port of the loopback interface,
// which keeps nothing on disk; blocks as values, read by MGET.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "bench/child_process.h"
#include "bench/ladder_turn.h"

namespace cairn {

class RedisPeer {
 public:
  /// Starts a server whose working directory is `directory`. kNotFound if there is no redis-server.
  static Result<std::unique_ptr<RedisPeer>> Start(const std::string& directory);

  /// Gives the server `blocks` blocks of `block_bytes`.
  Status Fill(uint64_t block_bytes, uint32_t blocks);
  /// Reads of key.batch of the blocks that Fill gave; a connection for each reader.
  std::unique_ptr<LadderCase> MakeCase(LadderKey key, uint32_t blocks);

 private:
  RedisPeer(ChildProcess server, uint16_t port) : server_(std::move(server)), port_(port) {}

  ChildProcess server_;
  uint16_t port_;
};

}  // namespace cairn
