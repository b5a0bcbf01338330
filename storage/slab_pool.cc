#include "storage/slab_pool.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/byte_size.h"
#include "base/check.h"

namespace cairn {

void SlabPool::Unmap::operator()(std::byte* memory) const { munmap(memory, bytes); }

SlabPool::SlabPool(size_t slot_bytes, uint32_t slots) : slot_bytes_(slot_bytes), slots_(slots) {
  free_.reserve(slots);
}

Result<SlabPool> SlabPool::Open(size_t bytes, uint32_t slots) {
  SlabPool pool(SlotBytes(bytes), slots);
  const size_t total_bytes = pool.slot_bytes_ * slots;
  if (total_bytes > 0) {
    void* memory = mmap(nullptr, total_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
      return Fail(Errc::kResource, "no memory for a tier of {}: {}; use a smaller memory budget",
                  FormatByteSize(total_bytes), std::strerror(errno));
    }
    // Advice only: without huge pages the pool works the same, slower to fill.
    (void)madvise(memory, total_bytes, MADV_HUGEPAGE);
    pool.memory_ = static_cast<std::byte*>(memory);
    pool.owner_ = Mapping(pool.memory_, Unmap{total_bytes});
  }
  return pool;
}

Result<SlabPool> SlabPool::OpenPinned(Device& device, size_t bytes, uint32_t slots) {
  SlabPool pool(SlotBytes(bytes), slots);
  CAIRN_TRY(auto memory, device.AllocatePinned(pool.slot_bytes_ * slots));
  pool.memory_ = memory.data();
  pool.owner_ = std::move(memory);
  return pool;
}

Result<SlabPool> SlabPool::OpenOn(Device& device, size_t bytes, uint32_t slots) {
  SlabPool pool(SlotBytes(bytes), slots);
  CAIRN_TRY(auto memory, device.Allocate(pool.slot_bytes_ * slots));
  pool.memory_ = memory.data();
  pool.owner_ = std::move(memory);
  return pool;
}

uint32_t SlabPool::Take() {
  if (!free_.empty()) {
    const uint32_t slot = free_.back();
    free_.pop_back();
    return slot;
  }
  return fresh_ < slots_ ? fresh_++ : kNoSlot;
}

void SlabPool::Give(uint32_t slot) {
  CAIRN_CHECK(slot < fresh_);
  CAIRN_CHECK(free_.size() < fresh_);
  free_.push_back(slot);
}

}  // namespace cairn
