// StoreDamage: a store's files, kept in memory, and copies of them on disk with something wrong.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <random>
#include <string>

namespace cairn::test {

enum class DamageKind {
  kFlip,        ///< one to three bits
  kCut,         ///< an end is gone
  kZeros,       ///< a page of 512 or 4096 bytes
  kSwapPages,   ///< two such pages of a file changed for each other
  kSwapBlocks,  ///< two whole blocks of a table file
  kOldPage,     ///< a page in place of another one of the same file
  kSwapFiles,   ///< two files changed for each other
  kLost,        ///< a file
};
inline constexpr int kDamageKinds = 8;
/// As keys of a report.
const char* DamageName(DamageKind kind);

class StoreDamage {
 public:
  /// Reads all files of the store at `pristine`.
  explicit StoreDamage(const std::filesystem::path& pristine);

  /// Writes the store to `store` in place of what is there, with one thing wrong, drawn from
  /// `random`. Says what, and of which kind it is.
  std::string WriteDamaged(const std::filesystem::path& store, std::mt19937_64& random,
                           DamageKind* kind) const;

 private:
  using Files = std::map<std::string, std::string>;  // by path in the store

  std::string Damage(Files& files, std::mt19937_64& random, DamageKind* kind) const;
  /// That a log is lost, or cut short between two records, is only noticed of the last one.
  bool IsOlderLog(const std::string& name) const;

  Files files_;
};

}  // namespace cairn::test
