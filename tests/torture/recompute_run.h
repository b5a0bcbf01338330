// RecomputeRun: a session that a small model has read, damaged and computed again by
// `cairn repair --model`, which is killed on the way. Whatever the moment, the session is what it
// was, damage included, or whole; and a run that comes to its end makes the bytes it had.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/block_scan.h"
#include "tests/torture/command_killer.h"

namespace cairn::test {

class RecomputeRun {
 public:
  /// Works in the new directory `path`.
  RecomputeRun(std::string path, uint64_t seed);

  /// A damage, kills, and a run to the end. An error says what differs.
  Status Round();
  const CommandKills& counts() const { return counts_; }

 private:
  /// All that is stored of a session. A block or the tail that cannot be read stands empty.
  struct Contents {
    std::vector<std::string> blocks{};
    std::string tail{};
    std::vector<uint32_t> tokens{};
    std::string chain{};

    bool operator==(const Contents&) const = default;
  };

  std::string store() const { return path_ + "/store"; }
  std::string model() const { return path_ + "/tiny.gguf"; }
  Status Make();
  Status Fork();
  Status Damage();
  Result<Contents> Read(const std::string& session) const;
  /// The fork, whose blocks nobody repairs, has lost nothing.
  Status CompareFork() const;

  const std::string path_;
  std::mt19937_64 random_;
  CommandKiller killer_;
  const bool landmarks_;
  BlockGrid grid_{};
  Contents whole_{};
  Contents damaged_{};
  CommandKills counts_{};
};

}  // namespace cairn::test
