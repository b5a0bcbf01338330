// BpeMerges: the merge rules of a byte-pair vocabulary and their application to one word.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace cairn {

/// Token ids in, token ids out; knows no text. Immutable once filled, then thread-safe.
class BpeMerges {
 public:
  /// What two neighbours become, and how early: lower ranks merge first.
  struct Merge {
    uint32_t rank;
    uint32_t merged;
  };

  /// Room for `count` rules.
  explicit BpeMerges(size_t count);

  /// Adds a rule; of several for one pair the first counts. REQUIRES: no more than `count` calls.
  void Add(uint32_t left, uint32_t right, Merge merge);
  std::optional<Merge> Find(uint32_t left, uint32_t right) const;

  /// Merges neighbours in `word` until no rule applies, always the lowest rank next and of equal
  /// ranks the leftmost. Time n log n, memory about 30 bytes per id. REQUIRES: below 2^31 ids.
  void Apply(std::vector<uint32_t>& word) const;

 private:
  struct Slot {
    uint32_t left = UINT32_MAX;  ///< UINT32_MAX: empty
    uint32_t right = 0;
    Merge merge{};
  };

  size_t SlotOf(uint32_t left, uint32_t right) const;
  uint32_t RankOf(uint32_t left, uint32_t right) const;
  void ApplyToShort(std::vector<uint32_t>& word) const;
  void ApplyToLong(std::vector<uint32_t>& word) const;

  std::vector<Slot> slots_;  ///< open addressing; a power of two
};

}  // namespace cairn
