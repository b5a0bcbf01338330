// EvictionOrder: which block of a tier will be wanted again last, as far as the past tells.
//
// A model goes through its layers in a circle and wants blocks of one layer at a time. So a block
// is next wanted when its layer's turn comes, or one or several turns later if it is wanted at
// some turns only. The order estimates both: the way round to the layer, and for each block how
// often its layer's latest turns wanted it, a count that loses a factor of √2 at each turn. The
// block with the longest expected way goes first. (Least recently used would forget just what
// comes next, as soon as one round wants more blocks than the tier holds.)
//
// A block's worth is the logarithm of its count, shifted by the turn so that it never has to be
// updated: aged counts of a layer compare as their worths do. Each layer has a list for each worth
// of a window; taking the next block looks at one list per layer, whatever the number of blocks.
//
// Pure data, no allocation after the constructor, not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "storage/slab_pool.h"

namespace cairn {

class EvictionOrder {
 public:
  /// For slots 0 .. slots-1, none in the order.
  explicit EvictionOrder(uint32_t slots);
  /// Memory taken for each slot, and beside it.
  static constexpr size_t kBytesPerSlot = 8;

  using Worth = uint32_t;

  /// Blocks of this layer are wanted now. A layer's turn lasts until another layer is wanted; if
  /// there was never more than one, each call is a turn.
  void BeginAccess(uint16_t layer);
  /// The turn of a layer, as a number that wraps.
  uint8_t Turn(uint16_t layer) const { return static_cast<uint8_t>(turns_[LineOf(layer)]); }
  /// What a block is worth that is used in this turn and was never used before.
  Worth FirstUse(uint16_t layer) const { return Now(LineOf(layer)); }
  /// The same for one that was worth `before`.
  Worth NextUse(uint16_t layer, Worth before) const;
  /// Whether the first worth is below the second; of the same layer, or roughly.
  static bool Less(Worth a, Worth b) { return static_cast<int32_t>(a - b) < 0; }

  /// Puts in or takes out a block that may go. Of equal ones the first put in goes first.
  void Add(uint32_t slot, uint16_t layer, Worth worth);
  void Remove(uint32_t slot);
  /// The slot of the block that should go next; kNoSlot if there is none. It stays in the order.
  uint32_t Next() const;
  /// The slot that goes after this one if only its like go; kNoSlot if unknown.
  uint32_t After(uint32_t slot) const {
    const uint32_t newer = links_[slot].newer;
    return newer < slots_ ? newer : kNoSlot;
  }
  /// Lets the memory come that After and Remove of a slot will read.
  void Expect(uint32_t slot) const { __builtin_prefetch(&links_[slot]); }
  /// Blocks in the order.
  uint32_t size() const { return size_; }
  /// How long a block is expected not to be wanted from now on, whether it is in the order or not.
  /// Of those in it the longest goes next.
  int32_t Way(uint16_t layer, Worth worth) const;

 private:
  // Layers share lines from 128 layers on.
  static constexpr uint32_t kLines = 128;
  static constexpr uint32_t kLists = 64;        // of a line, by worth modulo 64
  static constexpr uint32_t kUnitsPerTurn = 2;  // of worth; 4 are a factor of 2
  static constexpr uint32_t kOldest = 40;       // below now, worths do not differ any more
  static constexpr uint32_t kMost = 8;          // above now, a block wanted at every turn

  struct Links {
    uint32_t newer = 0;
    uint32_t older = 0;
  };

  static uint32_t LineOf(uint16_t layer) { return layer % kLines; }
  Worth Now(uint32_t line) const { return turns_[line] * kUnitsPerTurn; }
  uint32_t ListOf(uint32_t line, Worth worth) const {
    return slots_ + line * kLists + worth % kLists;
  }
  /// How far above the oldest worth of a line this one counts.
  uint32_t Above(uint32_t line, Worth worth) const;
  void Join(uint32_t from, uint32_t to);
  void Mark(uint32_t list, bool filled);
  uint32_t OldestAbove(uint32_t line) const;
  /// A block's way, but for what all of those have in common whose lines were passed.
  int32_t Expected(uint32_t line, uint32_t above) const;
  int32_t Round() const;
  void Rate(uint32_t line);

  const uint32_t slots_;
  std::vector<Links> links_;  // of slots, then of lists: a circle through the list itself
  std::array<uint64_t, kLines> filled_{};  // lists that are not empty
  std::array<uint32_t, kLines> turns_;
  // Of each line's first block, how long it is expected not to be wanted, but for the way that all
  // lines have in common; and the line, so that the greatest one tells which it is.
  std::array<int32_t, kLines> rates_;
  uint32_t lines_ = 1;  // that were ever wanted, from 0 on
  uint32_t line_ = 0;   // wanted last
  uint32_t size_ = 0;
};

}  // namespace cairn
