#include "storage/slab_pool.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/byte_size.h"
#include "base/check.h"

namespace cairn {

Result<SlabPool> SlabPool::Open(size_t bytes, uint32_t slots) {
  SlabPool pool;
  pool.slot_bytes_ = SlotBytes(bytes);
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
  }
  pool.slots_ = slots;
  pool.free_.reserve(slots);
  return pool;
}

SlabPool::SlabPool(SlabPool&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      slot_bytes_(other.slot_bytes_),
      slots_(std::exchange(other.slots_, 0)),
      fresh_(std::exchange(other.fresh_, 0)),
      free_(std::move(other.free_)) {}

SlabPool::~SlabPool() {
  if (memory_ != nullptr) munmap(memory_, slot_bytes_ * slots_);
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
