// The policies that need not know the future.
#include <algorithm>
#include <list>

#include "base/check.h"
#include "storage/block_table.h"
#include "tools/cache_policy.h"

namespace cairn {
namespace {

/// What they share: who is there, and who may not go as it is part of the access under way.
class OnlinePolicy : public CachePolicy {
 public:
  OnlinePolicy(uint32_t slots, uint32_t blocks) : slots_(slots), access_of_(blocks) {}

  uint32_t Access(std::span<const uint32_t> blocks) final {
    ++access_;
    uint32_t hits = 0;
    std::vector<uint32_t> absent;
    for (const uint32_t block : blocks) {
      access_of_[block] = access_;
      if (Holds(block)) {
        ++hits;
        Use(block);
      } else {
        absent.push_back(block);
      }
    }
    for (const uint32_t block : absent) {
      if (held_ == slots_) {
        Evict();
        --held_;
      }
      Admit(block);
      ++held_;
    }
    return hits;
  }

  void Drop(uint32_t block) final {
    if (!Holds(block)) return;
    Remove(block);
    --held_;
  }

 protected:
  using Queue = std::list<uint32_t>;  // newest first

  virtual bool Holds(uint32_t block) const = 0;
  virtual void Use(uint32_t block) = 0;
  virtual void Admit(uint32_t block) = 0;
  virtual void Remove(uint32_t block) = 0;
  /// Removes one block that may go.
  virtual void Evict() = 0;
  bool Pinned(uint32_t block) const { return access_of_[block] == access_; }

  const uint32_t slots_;

 private:
  uint32_t held_ = 0;
  uint32_t access_ = 0;
  std::vector<uint32_t> access_of_;  // by block: the last one it was part of
};

class Lru final : public OnlinePolicy {
 public:
  Lru(uint32_t slots, uint32_t blocks) : OnlinePolicy(slots, blocks), there_(blocks), at_(blocks) {}

 private:
  bool Holds(uint32_t block) const override { return there_[block]; }
  void Use(uint32_t block) override { queue_.splice(queue_.begin(), queue_, at_[block]); }
  void Admit(uint32_t block) override {
    queue_.push_front(block);
    at_[block] = queue_.begin();
    there_[block] = true;
  }
  void Remove(uint32_t block) override {
    queue_.erase(at_[block]);
    there_[block] = false;
  }
  void Evict() override {
    // Those of the access under way were used last and stand in front.
    CAIRN_CHECK(!Pinned(queue_.back()));
    Remove(queue_.back());
  }

  std::vector<bool> there_;
  std::vector<Queue::iterator> at_;
  Queue queue_;
};

class Clock final : public OnlinePolicy {
 public:
  Clock(uint32_t slots, uint32_t blocks)
      : OnlinePolicy(slots, blocks), there_(blocks), used_(blocks), at_(blocks) {}

 private:
  bool Holds(uint32_t block) const override { return there_[block]; }
  void Use(uint32_t block) override { used_[block] = true; }
  void Admit(uint32_t block) override {
    queue_.push_front(block);
    at_[block] = queue_.begin();
    there_[block] = true;
    used_[block] = false;
  }
  void Remove(uint32_t block) override {
    queue_.erase(at_[block]);
    there_[block] = false;
  }
  void Evict() override {
    while (Pinned(queue_.back()) || used_[queue_.back()]) {
      if (!Pinned(queue_.back())) used_[queue_.back()] = false;
      queue_.splice(queue_.begin(), queue_, std::prev(queue_.end()));
    }
    Remove(queue_.back());
  }

  std::vector<bool> there_, used_;
  std::vector<Queue::iterator> at_;
  Queue queue_;
};

class S3Fifo final : public OnlinePolicy {
 public:
  S3Fifo(uint32_t slots, uint32_t blocks)
      : OnlinePolicy(slots, blocks),
        small_slots_(std::max<uint32_t>(1, slots / 10)),
        ghost_slots_(slots - slots / 10),
        place_(blocks, Place::kNone),
        uses_(blocks),
        at_(blocks) {}

 private:
  enum class Place : uint8_t { kNone, kSmall, kMain, kGhost };

  bool Holds(uint32_t block) const override {
    return place_[block] == Place::kSmall || place_[block] == Place::kMain;
  }
  void Use(uint32_t block) override {
    uses_[block] = static_cast<uint8_t>(std::min(3, uses_[block] + 1));
  }
  void Admit(uint32_t block) override {
    const bool known = place_[block] == Place::kGhost;
    if (known) ghosts_.erase(at_[block]);
    uses_[block] = 0;
    Push(known ? Place::kMain : Place::kSmall, block);
  }
  void Remove(uint32_t block) override {
    QueueOf(place_[block]).erase(at_[block]);
    place_[block] = Place::kNone;
  }
  void Evict() override {
    while (true) {
      const bool from_small = small_.size() >= small_slots_ || main_.empty();
      if (from_small ? EvictSmall() || EvictMain() : EvictMain() || EvictSmall()) return;
    }
  }

  bool EvictSmall() {
    for (size_t left = small_.size(); left > 0; --left) {
      const uint32_t block = small_.back();
      if (Pinned(block)) {
        Rotate(small_);
      } else if (uses_[block] > 1) {
        uses_[block] = 0;
        Remove(block);
        Push(Place::kMain, block);
      } else {
        Remove(block);
        Push(Place::kGhost, block);
        if (ghosts_.size() > ghost_slots_) Remove(ghosts_.back());
        return true;
      }
    }
    return false;
  }
  bool EvictMain() {
    for (size_t left = main_.size(); left > 0; --left) {
      const uint32_t block = main_.back();
      if (!Pinned(block) && uses_[block] == 0) {
        Remove(block);
        return true;
      }
      if (!Pinned(block)) --uses_[block];
      Rotate(main_);
    }
    return false;
  }

  Queue& QueueOf(Place place) {
    return place == Place::kSmall ? small_ : place == Place::kMain ? main_ : ghosts_;
  }
  void Push(Place place, uint32_t block) {
    Queue& queue = QueueOf(place);
    queue.push_front(block);
    at_[block] = queue.begin();
    place_[block] = place;
  }
  static void Rotate(Queue& queue) { queue.splice(queue.begin(), queue, std::prev(queue.end())); }

  const size_t small_slots_, ghost_slots_;
  std::vector<Place> place_;
  std::vector<uint8_t> uses_;
  std::vector<Queue::iterator> at_;
  Queue small_, main_, ghosts_;
};

class TablePolicy final : public CachePolicy {
 public:
  TablePolicy(uint32_t slots, std::span<const BlockId> ids) : ids_(ids), table_(slots) {
    for (uint32_t slot = slots; slot > 0; --slot) free_.push_back(slot - 1);
  }

  uint32_t Access(std::span<const uint32_t> blocks) override {
    if (!blocks.empty()) table_.BeginAccess(ids_[blocks.front()].layer);
    pinned_.clear();
    absent_.clear();
    for (const uint32_t block : blocks) {
      const uint32_t slot = table_.Find(ids_[block]);
      if (slot == kNoSlot) {
        absent_.push_back(block);
        continue;
      }
      table_.Pin(slot);
      table_.Touch(slot);
      pinned_.push_back(slot);
    }
    const auto hits = static_cast<uint32_t>(pinned_.size());
    for (const uint32_t block : absent_) {
      const uint32_t slot = TakeSlot();
      CAIRN_CHECK(slot != kNoSlot);
      table_.Insert(ids_[block], slot);
      table_.Pin(slot);
      pinned_.push_back(slot);
    }
    for (const uint32_t slot : pinned_) table_.Unpin(slot);
    return hits;
  }

  void Seal(uint32_t block) override {
    if (table_.Find(ids_[block]) == kNoSlot) table_.Insert(ids_[block], TakeSlot());
  }

  void Drop(uint32_t block) override {
    const uint32_t slot = table_.Find(ids_[block]);
    if (slot == kNoSlot) return;
    table_.Erase(slot);
    free_.push_back(slot);
  }

 private:
  uint32_t TakeSlot() {
    if (free_.empty()) return table_.Evict();
    const uint32_t slot = free_.back();
    free_.pop_back();
    return slot;
  }

  const std::span<const BlockId> ids_;
  BlockTable table_;
  std::vector<uint32_t> free_, pinned_, absent_;
};

}  // namespace

std::unique_ptr<CachePolicy> MakeTablePolicy(uint32_t slots, std::span<const BlockId> ids) {
  return std::make_unique<TablePolicy>(slots, ids);
}
std::unique_ptr<CachePolicy> MakeLru(uint32_t slots, uint32_t blocks) {
  return std::make_unique<Lru>(slots, blocks);
}
std::unique_ptr<CachePolicy> MakeClock(uint32_t slots, uint32_t blocks) {
  return std::make_unique<Clock>(slots, blocks);
}
std::unique_ptr<CachePolicy> MakeS3Fifo(uint32_t slots, uint32_t blocks) {
  return std::make_unique<S3Fifo>(slots, blocks);
}

}  // namespace cairn
