// LadderCases: all that a ladder times, with the stores, files and programs behind it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/ladder.h"
#include "bench/ladder_store.h"
#include "bench/ladder_turn.h"
#include "bench/lmcache_peer.h"
#include "bench/redis_peer.h"
#include "bench/rocks_peer.h"

namespace cairn {

class LadderCases {
 public:
  /// Makes stores and files in options.directory and starts what has to run beside.
  static Result<LadderCases> Make(const LadderOptions& options,
                                  FunctionRef<bool(const std::string&)> progress);

  const std::vector<std::unique_ptr<LadderCase>>& all() const { return cases_; }
  const LadderFile& file() const { return *file_; }
  std::vector<Presence>& tiers() { return tiers_; }
  std::vector<Presence>& peers() { return peers_; }
  std::vector<std::string>& skipped() { return skipped_; }

 private:
  struct Shape {
    uint64_t block_bytes;
    uint32_t batch;
    int readers;
  };

  explicit LadderCases(const LadderOptions& options) : options_(options) {}
  /// The combinations to be measured, at most `most_readers` of them at once.
  std::vector<Shape> Shapes(int most_readers) const;
  bool Fits(const Shape& shape) const;
  void ListTiers();
  Status AddTiers();
  Status AddSteps();
  void AddMixes();
  Status AddPeers(FunctionRef<bool(const std::string&)> progress);
  Status AddRocks(FunctionRef<bool(const std::string&)> progress);
  Status AddRedis();
  Status AddLmcache(FunctionRef<bool(const std::string&)> progress);
  static LadderKey Key(const char* tier, const char* step, const Shape& shape,
                       std::string variant = "");

  const LadderOptions options_;
  // Cases go before what they use.
  std::vector<std::unique_ptr<LadderStore>> stores_;  // one for each size
  std::unique_ptr<LadderFile> file_;
  std::vector<std::unique_ptr<RocksPeer>> rocks_;
  std::unique_ptr<RedisPeer> redis_;
  std::unique_ptr<LmcachePeer> lmcache_;
  std::vector<std::unique_ptr<LadderCase>> cases_;
  std::vector<Presence> tiers_, peers_;
  std::vector<std::string> skipped_;
};

}  // namespace cairn
