// KillRun: one store that is written by a process of its own, which is killed at any moment; then
// the store is opened and compared with what that process was told, and another one goes on.
//
// The writer is this program, started again. It notes in a file what it asks for and what it was
// told; a kill loses nothing of such a file.
#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "base/error.h"
#include "tests/support/store_model.h"

namespace cairn::test {

struct KillCounts {
  uint64_t kills = 0;
  uint64_t before_first_answer = 0;  ///< of them, while the store was being opened or just after
  uint64_t acknowledged = 0;         ///< commits, sessions made and deleted
  uint64_t whole = 0;                ///< operations in flight that were found done
  uint64_t undone = 0;               ///< and those found not begun

  KillCounts& operator+=(const KillCounts& other);
};

class KillRun {
 public:
  /// A store in the new directory `path`.
  KillRun(std::string path, uint64_t seed) : path_(std::move(path)), random_(seed) {}

  /// Starts a writer, kills it, opens the store and compares. An error says what is wrong.
  Status Round();
  const KillCounts& counts() const { return counts_; }

 private:
  std::string notes() const { return path_ + "/notes"; }
  std::string store() const { return path_ + "/store"; }
  Status WriteAndKill();
  Status Compare();

  const std::string path_;
  std::mt19937_64 random_;
  StoreModel told_;
  KillCounts counts_;
};

/// What the killed process does: writes to the store until it is killed. Comes back on an error.
Status WriteUntilKilled(const std::string& store, const std::string& notes, uint64_t seed);

}  // namespace cairn::test
