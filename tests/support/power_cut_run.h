// PowerCutRun: one store that is written at random, cut or killed, opened and compared, over and
// over. docs/format.md says what must survive.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"

namespace cairn::test {

struct PowerCutCounts {
  uint64_t cuts = 0;          ///< of the power
  uint64_t kills = 0;         ///< of the process: nothing lost, nothing synced
  uint64_t in_opening = 0;    ///< of both, while the store was being opened
  uint64_t acknowledged = 0;  ///< commits, sessions made and deleted
  uint64_t whole = 0;         ///< operations in flight that were found done
  uint64_t undone = 0;        ///< and those found not begun

  PowerCutCounts& operator+=(const PowerCutCounts& other);
};

class PowerCutRun {
 public:
  /// A store in the new directory `path`.
  PowerCutRun(const std::string& path, uint64_t seed);
  ~PowerCutRun();

  /// Writes until the power is cut, opens the store again and compares it with what its writer was
  /// told. An error says what is not as it must be.
  Status Round();
  const PowerCutCounts& counts() const;
  /// See PowerCutFileSystem.
  void Betray(const std::string& part);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn::test
