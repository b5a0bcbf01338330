// ResidentBlocks: the blocks of a session that are held in a device's memory, and a table there
// that tells kernels where they lie. Who is not in the table must be fetched first.
//
// It holds pins, so that the store evicts none of them, and tells the store which of them are used.
// When the store has no more room, sessions at rest give theirs back, and then what the store
// expects to be wanted again last goes; what is used together stays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "base/device.h"
#include "engine/block_map.h"
#include "storage/pin_holders.h"
#include "storage/tiered_store.h"

namespace cairn {

/// One thread at a time, between Take and Rest; for other threads, a PinHolder. What it refers to
/// must outlive it.
class ResidentBlocks final : public PinHolder {
 public:
  struct Block {
    int32_t partition = 0;  ///< layer · Hkv + head
    int32_t ordinal = 0;
    bool operator==(const Block&) const = default;
  };

  /// For partitions of `heads` KV heads a layer. The store has a device.
  ResidentBlocks(int32_t partitions, int32_t heads, TieredStore& store);
  ~ResidentBlocks() override { store_.holders().Leave(*this); }
  ResidentBlocks(const ResidentBlocks&) = delete;
  ResidentBlocks& operator=(const ResidentBlocks&) = delete;

  /// From here until Rest blocks are in use.
  void Take();
  /// Nothing that reads blocks is under way any more.
  void Rest();

  /// Ordinals that there is room for once there had to be for so many: an eighth more, so that a
  /// long table is rarely made anew.
  static int64_t CapacityFor(int64_t blocks);
  /// Bytes of the table on the device, and of as long a one on the host.
  static uint64_t TableBytes(int32_t partitions, int64_t blocks) {
    return static_cast<uint64_t>(partitions * CapacityFor(blocks)) * sizeof(uint32_t);
  }
  /// Makes room in the table for ordinals below `blocks`; the next Fetch fills it. Nothing that
  /// reads it is under way.
  Status Reserve(int64_t blocks);
  /// Of the first partition; table_stride entries further on is the next one's.
  const uint32_t* table() const { return reinterpret_cast<uint32_t*>(table_.data()); }
  int64_t table_stride() const { return capacity_; }
  /// Where slots begin that the table numbers, slot_bytes apart.
  const std::byte* slots() const { return slots_.first; }
  size_t slot_bytes() const { return slots_.slot_bytes; }

  /// What is kept, used and fetched from here on, until the next call, stays together.
  void BeginTurn() { ++turn_; }
  /// Whether the block is here; if so it stays for this turn. Not a use.
  bool Keep(const Block& block);
  /// Blocks of one layer are used (duplicates allowed): those that are here stay for this turn, and
  /// the store is told.
  void Use(std::span<const Block> blocks);
  bool Has(const Block& block) const { return EntryOf(block) >= 0; }
  /// Brings what is missing of `wanted` (duplicates allowed), which to the store is a use, and
  /// keeps all. What is put on `stream` from now on sees them, by the table. What was put there
  /// that reads blocks, and the last Fetch, have been waited for. kResource if there is no room
  /// beside what this turn keeps.
  Status Fetch(std::span<const Block> wanted, const BlockMap& blocks, DeviceStream& stream);
  /// Lets go of all blocks, at rest; the table follows with the next Fetch.
  bool GiveBack() override;

  int64_t size() const { return std::ssize(entries_); }

 private:
  struct Entry {
    Block block;
    uint64_t turn = 0;  // that kept it last
  };

  size_t PlaceOf(const Block& block) const {
    return static_cast<size_t>(block.partition * capacity_ + block.ordinal);
  }
  int32_t EntryOf(const Block& block) const {
    return block.ordinal < capacity_ ? entry_of_[PlaceOf(block)] : -1;
  }
  /// Lets some go, at least `count` if there are so many that this turn does not keep.
  void Release(size_t count);
  /// Lets those go that `keep` has 0 for; keep.size() == entries_.size().
  void LetGo(std::span<const uint8_t> keep);
  size_t available() const { return store_.top_slots().available; }
  /// Tells the device of places that changed.
  Status Update(DeviceStream& stream);

  const int32_t partitions_, heads_;
  TieredStore& store_;
  Device& device_;
  const TieredStore::TopSlots slots_;
  std::mutex mutex_;  // of what follows, at rest
  bool in_use_ = false;
  uint64_t turn_ = 1;
  int64_t capacity_ = 0;           // ordinals of a partition
  std::vector<Entry> entries_;     // as payloads of pins_
  std::vector<int32_t> entry_of_;  // [partitions, capacity], −1: none
  Pins pins_;
  std::vector<uint32_t> used_;    // entries, of one call
  bool all_changed_ = false;      // else:
  std::vector<int64_t> changed_;  // places
  DeviceBuffer table_;            // [partitions, capacity] u32
  PinnedBuffer staged_;           // places, values
  DeviceBuffer staged_on_device_;
};

}  // namespace cairn
