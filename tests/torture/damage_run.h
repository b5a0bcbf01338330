// DamageRun: small stores, each again and again with something wrong in its files: bits flipped, an
// end cut off, pages of zeros, pages or blocks or files changed for each other, a file lost.
// Whatever is read from a damaged store, by a reader and by a writer, is an error or what was
// written.
//
// A process of its own looks at a store after each damage, since what ends in an assertion is to be
// counted too, and what hangs to be found.
#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <string>

#include "base/error.h"
#include "tests/support/store_model.h"
#include "tests/torture/open_damage.h"
#include "tests/torture/store_damage.h"

namespace cairn::test {

struct DamageCounts {
  uint64_t damaged = 0;   ///< times that something was wrong with a store
  uint64_t detected = 0;  ///< of them, those where something was an error
  uint64_t harmless = 0;  ///< and those where all was read as it was written
  uint64_t ended = 0;     ///< and those whose reader RocksDB ended in an assertion
  std::array<uint64_t, kDamageKinds> kinds{};
  OpenDamageCounts open{};  ///< of records, while the store was open

  DamageCounts& operator+=(const DamageCounts& other);
};

class DamageRun {
 public:
  /// Works in the new directory `path`.
  DamageRun(std::string path, uint64_t seed) : path_(std::move(path)), random_(seed) {}

  /// Makes a store, damages it many times and looks at it; then many of its records while it stays
  /// open. An error says what was read that was never written.
  Status Round();
  const DamageCounts& counts() const { return counts_; }

 private:
  Status MakePristine();

  const std::string path_;
  std::mt19937_64 random_;
  DamageCounts counts_;
};

/// What the process of its own does in a DamageRun's directory; its exit status.
int ExamineDamaged(const std::string& path, uint64_t seed);

}  // namespace cairn::test
