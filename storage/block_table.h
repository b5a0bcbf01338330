// BlockTable: which block lies in which slot of a tier, who holds it, and which goes next.
//
// A pure data structure: no locks, no memory of payloads, no I/O, no allocation after the
// constructor. Eviction is S3-FIFO: a new block waits in a small queue and only one used again
// there moves to the main queue, so that one long scan does not flush the tier; ids lately evicted
// from the small queue are remembered as ghosts and return straight to the main queue. Blocks that
// are pinned, dirty or loading are never evicted. A dirty block waits outside both queues and
// enters one when it becomes clean.
#pragma once

#include <cstdint>
#include <vector>

#include "storage/block_id.h"
#include "storage/slab_pool.h"

namespace cairn {

class BlockTable {
 public:
  /// For slots 0 .. slots-1.
  explicit BlockTable(uint32_t slots);
  /// Memory taken for each slot, at most.
  static constexpr size_t kBytesPerSlot = 96;

  /// The block's slot or kNoSlot. Does not count as a use.
  uint32_t Find(const BlockId& id) const;
  /// Counts a use of the block in `slot`.
  void Touch(uint32_t slot);

  /// Puts a block that is not in the table into a slot that holds none.
  void Insert(const BlockId& id, uint32_t slot);
  /// Forgets the block in `slot`, which is neither pinned nor dirty.
  void Erase(uint32_t slot);
  /// Forgets the block that is worth least and returns its slot; kNoSlot if none may go.
  uint32_t Evict();

  void Pin(uint32_t slot);
  void Unpin(uint32_t slot);
  void SetDirty(uint32_t slot, bool dirty);
  /// A loading block has its slot but not yet its bytes.
  void SetLoading(uint32_t slot, bool loading);

  bool occupied(uint32_t slot) const { return entries_[slot].queue != Queue::kNone; }
  const BlockId& id(uint32_t slot) const { return entries_[slot].id; }
  uint32_t pins(uint32_t slot) const { return entries_[slot].pins; }
  bool dirty(uint32_t slot) const { return entries_[slot].queue == Queue::kDirty; }
  bool loading(uint32_t slot) const { return entries_[slot].loading; }
  uint32_t slots() const { return static_cast<uint32_t>(entries_.size()); }
  uint32_t size() const { return small_.size + main_.size + dirty_size_; }
  /// Blocks that Evict may take now.
  uint32_t evictable() const { return evictable_; }

 private:
  enum class Queue : uint8_t { kNone, kSmall, kMain, kDirty };
  struct Entry {
    BlockId id;
    uint32_t newer = kNoSlot;
    uint32_t older = kNoSlot;
    uint32_t pins = 0;
    Queue queue = Queue::kNone;
    uint8_t uses = 0;
    bool loading = false;
  };
  static_assert(sizeof(Entry) == 32);
  struct List {
    uint32_t newest = kNoSlot;
    uint32_t oldest = kNoSlot;
    uint32_t size = 0;
  };
  struct Ghost {
    uint32_t fingerprint = 0;
    uint32_t time = 0;  // 0: empty
  };

  static bool Evictable(const Entry& e) {
    return e.pins == 0 && e.queue != Queue::kDirty && !e.loading;
  }
  template <class Change>
  void Update(uint32_t slot, Change change);

  List& ListOf(Queue queue) { return queue == Queue::kSmall ? small_ : main_; }
  void PushNewest(Queue queue, uint32_t slot);
  void Unlink(uint32_t slot);
  uint32_t EvictFromSmall();
  uint32_t EvictFromMain();

  size_t Bucket(const BlockId& id) const { return BlockIdHash{}(id) & (buckets_.size() - 1); }
  void RemoveFromBuckets(const BlockId& id);

  void RememberGhost(const BlockId& id);
  bool TakeGhost(const BlockId& id);
  Ghost* GhostSet(uint64_t hash);

  std::vector<Entry> entries_;     // by slot
  std::vector<uint32_t> buckets_;  // linear probing; slot or kNoSlot
  std::vector<Ghost> ghosts_;      // sets of kGhostWays
  uint32_t ghost_time_ = 0;
  List small_;
  List main_;
  uint32_t dirty_size_ = 0;
  uint32_t small_target_;
  uint32_t evictable_ = 0;
};

}  // namespace cairn
