// DamageRun: one small store, and copies of it with a file damaged: bits flipped, an end cut off, a
// page of zeros, a file lost, two files changed for each other. Whatever is read from a damaged
// store is an error or what was written.
//
// A process of its own looks at the damaged store, since one that ends in an assertion is to be
// counted too.
#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "base/error.h"
#include "tests/support/store_model.h"

namespace cairn::test {

struct DamageCounts {
  uint64_t damaged = 0;   ///< stores
  uint64_t detected = 0;  ///< of them, those where something was an error
  uint64_t harmless = 0;  ///< and those where all was read as it was written
  uint64_t ended = 0;     ///< and those whose reader RocksDB ended in an assertion

  DamageCounts& operator+=(const DamageCounts& other);
};

class DamageRun {
 public:
  /// Works in the new directory `path`.
  DamageRun(std::string path, uint64_t seed) : path_(std::move(path)), random_(seed) {}

  /// Damages a copy and looks at it. An error says what was read that was never written.
  Status Round();
  const DamageCounts& counts() const { return counts_; }

 private:
  std::string pristine() const { return path_ + "/pristine"; }
  std::string store() const { return path_ + "/store"; }
  std::string notes() const { return path_ + "/notes"; }
  Status MakePristine();
  /// Damages the copy; says what it did.
  std::string Damage();

  const std::string path_;
  std::mt19937_64 random_;
  DamageCounts counts_;
};

/// What the process of its own does. Its exit status: kHarmless, kDetected or kWrong.
int Examine(const std::string& store, const std::string& notes);
inline constexpr int kHarmless = 0;
inline constexpr int kDetected = 10;
inline constexpr int kWrong = 11;

}  // namespace cairn::test
