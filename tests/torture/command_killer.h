// CommandKiller: runs the program `cairn` that stands beside this one, and kills it before any of
// its calls that change files (traced_command.h).
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "tests/torture/traced_command.h"

namespace cairn::test {

/// What one command went through.
struct CommandKills {
  uint64_t kills = 0;
  uint64_t ended = 0;  ///< runs that came to their end
  uint64_t calls = 0;  ///< that change files, the most of one run
  uint64_t done = 0;   ///< kills after which all of it, or some of a repair, was found done

  CommandKills& operator+=(const CommandKills& other);
};

class CommandKiller {
 public:
  /// All that the commands change is in the directory `path`.
  CommandKiller(std::string path, uint64_t seed);

  /// Runs `cairn` with these arguments and kills it somewhere.
  Result<CommandEnd> Kill(const std::vector<std::string>& arguments, CommandKills& counts);
  /// Runs it to its end, which must be a good one.
  Status RunToEnd(const std::vector<std::string>& arguments, CommandKills& counts);
  /// Runs it to any end.
  Result<CommandEnd> Run(const std::vector<std::string>& arguments);
  /// What the last one has printed.
  std::string Output() const;

 private:
  /// How many calls that change files a command makes from here on, if nobody kills it.
  Result<uint64_t> CountCalls(std::vector<std::string> arguments);
  Result<CommandEnd> Run(const std::vector<std::string>& arguments, uint64_t kill_before);
  Status CheckEnd(const CommandEnd& end, const std::vector<std::string>& arguments,
                  CommandKills& counts) const;
  std::string output() const { return path_ + "/output"; }

  const std::string path_;
  const std::string program_;
  std::mt19937_64 random_;
};

}  // namespace cairn::test
