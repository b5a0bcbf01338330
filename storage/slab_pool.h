// SlabPool: slots of one fixed size, cut from one allocation made at open; never grows.
//
// The memory is the host's, of which pages are touched when a slot is first used; or the host's,
// pinned for a device; or a device's, which the host cannot touch. Slots are 64-byte aligned and
// are handed out by index. Not thread-safe; the pool owns the memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "base/device.h"
#include "base/error.h"

namespace cairn {

/// Stands for "no slot" wherever a slot index is.
inline constexpr uint32_t kNoSlot = UINT32_MAX;

class SlabPool {
 public:
  static constexpr size_t kAlignment = 64;

  /// Bytes a slot takes for `bytes` of content.
  static constexpr size_t SlotBytes(size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

  /// `slots` slots for `bytes` of content each. kResource if the system gives no address space.
  static Result<SlabPool> Open(size_t bytes, uint32_t slots);
  /// In memory that `device`, which must outlive the pool, copies from by itself.
  static Result<SlabPool> OpenPinned(Device& device, size_t bytes, uint32_t slots);
  static Result<SlabPool> OpenOn(Device& device, size_t bytes, uint32_t slots);

  /// A free slot, or kNoSlot.
  uint32_t Take();
  /// Gives back a slot that was taken.
  void Give(uint32_t slot);

  std::byte* At(uint32_t slot) const { return memory_ + slot_bytes_ * slot; }
  uint32_t slots() const { return slots_; }
  uint32_t free_slots() const { return static_cast<uint32_t>(free_.size()) + slots_ - fresh_; }

 private:
  struct Unmap {
    void operator()(std::byte* memory) const;
    size_t bytes;
  };
  using Mapping = std::unique_ptr<std::byte, Unmap>;

  SlabPool(size_t slot_bytes, uint32_t slots);

  std::variant<Mapping, PinnedBuffer, DeviceBuffer> owner_;
  std::byte* memory_ = nullptr;
  size_t slot_bytes_ = 0;
  uint32_t slots_ = 0;
  uint32_t fresh_ = 0;  // slots below were taken at least once
  std::vector<uint32_t> free_;
};

}  // namespace cairn
