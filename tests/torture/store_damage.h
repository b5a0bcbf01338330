// StoreDamage: a store's files, kept in memory, and the same store on disk with something wrong,
// again and again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace cairn::test {

enum class DamageKind {
  kFlip,        ///< one to three bits
  kCut,         ///< an end is gone
  kZeros,       ///< a page of 512 or 4096 bytes
  kSwapPages,   ///< two such pages of a file changed for each other
  kSwapBlocks,  ///< two whole blocks of a segment
  kOldPage,     ///< a page in place of another one of the same file
  kSwapFiles,   ///< two files changed for each other
  kLost,        ///< a file
};
inline constexpr int kDamageKinds = 8;
/// As keys of a report.
const char* DamageName(DamageKind kind);

class StoreDamage {
 public:
  /// Reads all files of the store at `pristine`; `store` is where Damage works.
  StoreDamage(const std::filesystem::path& pristine, std::filesystem::path store);

  /// Makes `store` the pristine one, but for one thing wrong, drawn from `random`. Says what, and
  /// of which kind it is. What nobody writes to in place, and nothing happened to, is left as it
  /// is.
  std::string Damage(std::mt19937_64& random, DamageKind* kind);

  /// Bytes of a file.
  struct Range {
    size_t first = 0;
    size_t bytes = 0;
  };

 private:
  using Files = std::map<std::string, std::string>;  // by path in the store

  /// New contents; none for a file that is lost.
  using Changes = std::map<std::string, std::optional<std::string>>;

  std::string Change(Changes& changed, std::mt19937_64& random, DamageKind* kind) const;
  /// That a log is lost, or cut short between two records, is only noticed of the last one.
  bool IsOlderLog(const std::string& name) const;
  void FindBlocks(const std::filesystem::path& pristine);
  void RemoveOthers() const;
  bool IsAsItWas(const std::string& name) const;
  void Write(const std::string& name, const std::string& bytes) const;

  const std::filesystem::path store_;
  Files files_;
  std::map<std::string, std::vector<Range>> blocks_;  // in segments
  std::set<std::string> damaged_;                     // those that are not as in files_
};

}  // namespace cairn::test
