// BlockTable: which block lies in which slot of a tier, who holds it, and which goes next.
//
// A pure data structure: no locks, no memory of payloads, no I/O, no allocation after the
// constructor. Who goes next says EvictionOrder; it is told of accesses here, and blocks lately
// evicted are remembered as ghosts with what they were worth. Blocks that are pinned, dirty or
// loading are never evicted.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "storage/block_id.h"
#include "storage/eviction_order.h"
#include "storage/slab_pool.h"

namespace cairn {

class BlockTable {
 public:
  /// For slots 0 .. slots-1.
  explicit BlockTable(uint32_t slots);
  /// Memory taken for each slot, at most; 64 KiB stand beside it.
  static constexpr size_t kBytesPerSlot = 96;

  /// The block's slot or kNoSlot. Does not count as a use.
  uint32_t Find(const BlockId& id) const;
  /// The same for several, quicker than one by one; slots.size() == ids.size().
  void FindAll(std::span<const BlockId> ids, std::span<uint32_t> slots) const;

  /// Lets the memory come that Insert of this block will read; best kExpectAhead blocks before it.
  void Expect(const BlockId& id) const { Expect(HashOf(id)); }
  static constexpr size_t kExpectAhead = 8;

  /// What is touched and inserted from here on is wanted for this layer.
  void BeginAccess(uint16_t layer) { order_.BeginAccess(layer); }
  /// Counts a use of the block in `slot`, once in each turn of its layer.
  void Touch(uint32_t slot);

  /// Puts a block that is not in the table into a slot that holds none. That is a use.
  void Insert(const BlockId& id, uint32_t slot);
  /// The same for a block that may be wanted soon: not a use.
  void InsertAhead(const BlockId& id, uint32_t slot);
  /// Forgets the block in `slot`, which is neither pinned nor dirty.
  void Erase(uint32_t slot);
  /// Forgets the block that is worth least and returns its slot; kNoSlot if none may go.
  uint32_t Evict();

  void Pin(uint32_t slot);
  void Unpin(uint32_t slot);
  void SetDirty(uint32_t slot, bool dirty);
  /// A loading block has its slot but not yet its bytes.
  void SetLoading(uint32_t slot, bool loading);

  bool occupied(uint32_t slot) const { return entries_[slot].occupied; }
  const BlockId& id(uint32_t slot) const { return entries_[slot].id; }
  uint32_t pins(uint32_t slot) const { return entries_[slot].pins; }
  bool dirty(uint32_t slot) const { return entries_[slot].dirty; }
  bool loading(uint32_t slot) const { return entries_[slot].loading; }
  uint32_t slots() const { return static_cast<uint32_t>(entries_.size()); }
  uint32_t size() const { return size_; }
  /// How long the block in `slot` is expected not to be wanted, as EvictionOrder says of it.
  int32_t Way(uint32_t slot) const { return order_.Way(id(slot).layer, entries_[slot].worth); }
  /// Blocks that Evict may take now.
  uint32_t evictable() const { return order_.size(); }

 private:
  using Worth = EvictionOrder::Worth;

  struct Entry {
    BlockId id{};
    Worth worth = 0;
    uint32_t pins : 21 = 0;
    uint32_t turn : 8 = 0;  // of the last use that was counted
    uint32_t occupied : 1 = 0;
    uint32_t dirty : 1 = 0;
    uint32_t loading : 1 = 0;
  };
  static_assert(sizeof(Entry) == 24);
  struct Bucket {
    uint32_t slot = kNoSlot;
    uint32_t fingerprint = 0;
  };
  struct Ghost {
    uint32_t fingerprint = 0;
    Worth worth = 0;  // 0: nobody
  };
  static constexpr size_t kGhostWays = 4;
  struct alignas(kGhostWays * sizeof(Ghost)) GhostSet {  // in one line of the cache
    Ghost ways[kGhostWays];
  };

  static bool Evictable(const Entry& e) {
    return e.occupied && e.pins == 0 && !e.dirty && !e.loading;
  }
  template <class Change>
  void Update(uint32_t slot, Change change);

  static uint64_t HashOf(const BlockId& id) { return BlockIdHash{}(id); }
  static uint32_t Fingerprint(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }
  /// The bucket where a block belongs; a bucket says so without its block.
  size_t HomeOf(uint32_t fingerprint) const { return fingerprint & (buckets_.size() - 1); }
  /// Gives the block its slot; what it was worth before, 0 if nothing is known.
  Worth Put(const BlockId& id, uint32_t slot);
  uint32_t FindAt(const BlockId& id, uint64_t hash) const;
  void RemoveFromBuckets(uint32_t slot);

  void RememberGhost(const Entry& entry);
  Worth TakeGhost(uint64_t hash);
  size_t GhostsOf(uint64_t hash) const { return hash & (ghosts_.size() - 1); }
  void Expect(uint64_t hash) const;

  std::vector<Entry> entries_;   // by slot
  std::vector<Bucket> buckets_;  // linear probing
  std::vector<GhostSet> ghosts_;
  EvictionOrder order_;
  uint32_t size_ = 0;
};

}  // namespace cairn
