#include "storage/io_ring.h"

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace cairn {
namespace {

constexpr uint32_t kMaxCapacity = 4096;

/// Memory shared with the kernel.
class SharedMemory {
 public:
  SharedMemory() = default;
  SharedMemory(int fd, uint64_t offset, size_t bytes) : bytes_(bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                        static_cast<off_t>(offset));
    if (memory != MAP_FAILED) memory_ = static_cast<std::byte*>(memory);
  }
  ~SharedMemory() {
    if (memory_ != nullptr) munmap(memory_, bytes_);
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(SharedMemory&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  bool mapped() const { return memory_ != nullptr; }
  template <class T>
  T* At(uint32_t offset) const {
    return reinterpret_cast<T*>(memory_ + offset);
  }

 private:
  std::byte* memory_ = nullptr;
  size_t bytes_ = 0;
};

/// The kernel's side of a counter is read, and ours published, in order with what it guards.
uint32_t Acquire(uint32_t* counter) {
  return std::atomic_ref(*counter).load(std::memory_order_acquire);
}
void Release(uint32_t* counter, uint32_t value) {
  std::atomic_ref(*counter).store(value, std::memory_order_release);
}

}  // namespace

struct IoRing::Rings {
  ~Rings() {
    if (fd >= 0) close(fd);
  }

  int fd = -1;
  uint32_t capacity = 0;
  uint32_t pending = 0;      // added and not taken
  uint32_t unsubmitted = 0;  // of them, not yet given to the kernel
  SharedMemory submissions, completions, entries;
  uint32_t *tail = nullptr, *mask = nullptr, *array = nullptr;
  uint32_t *done_head = nullptr, *done_tail = nullptr, *done_mask = nullptr;
  io_uring_cqe* done = nullptr;
};

Result<std::unique_ptr<IoRing>> IoRing::Open(uint32_t capacity) {
  CAIRN_CHECK(capacity >= 1 && capacity <= kMaxCapacity);
  auto rings = std::make_unique<Rings>();
  io_uring_params params{};
  rings->fd = static_cast<int>(syscall(SYS_io_uring_setup, capacity, &params));
  if (rings->fd < 0) {
    return Fail(Errc::kUnsupported, "the system gives no io_uring: {}", std::strerror(errno));
  }
  rings->capacity = capacity;
  const io_sqring_offsets& sq = params.sq_off;
  const io_cqring_offsets& cq = params.cq_off;
  rings->submissions =
      SharedMemory(rings->fd, IORING_OFF_SQ_RING, sq.array + params.sq_entries * sizeof(uint32_t));
  rings->completions = SharedMemory(rings->fd, IORING_OFF_CQ_RING,
                                    cq.cqes + params.cq_entries * sizeof(io_uring_cqe));
  rings->entries =
      SharedMemory(rings->fd, IORING_OFF_SQES, params.sq_entries * sizeof(io_uring_sqe));
  if (!rings->submissions.mapped() || !rings->completions.mapped() || !rings->entries.mapped()) {
    return Fail(Errc::kUnsupported, "the memory of an io_uring cannot be mapped: {}",
                std::strerror(errno));
  }
  rings->tail = rings->submissions.At<uint32_t>(sq.tail);
  rings->mask = rings->submissions.At<uint32_t>(sq.ring_mask);
  rings->array = rings->submissions.At<uint32_t>(sq.array);
  rings->done_head = rings->completions.At<uint32_t>(cq.head);
  rings->done_tail = rings->completions.At<uint32_t>(cq.tail);
  rings->done_mask = rings->completions.At<uint32_t>(cq.ring_mask);
  rings->done = rings->completions.At<io_uring_cqe>(cq.cqes);
  return std::make_unique<IoRing>(std::move(rings));
}

IoRing::IoRing(std::unique_ptr<Rings> rings) : rings_(std::move(rings)) {}

IoRing::~IoRing() {
  while (rings_->pending > 0) {
    if (!Submit(1)) return;  // the kernel ends what is left when the ring is closed
    while (Take().has_value()) {
    }
  }
}

uint32_t IoRing::capacity() const { return rings_->capacity; }
uint32_t IoRing::pending() const { return rings_->pending; }

void IoRing::Add(const IoOperation& operation) {
  CAIRN_CHECK(rings_->pending < rings_->capacity);
  const uint32_t tail = *rings_->tail;
  const uint32_t index = tail & *rings_->mask;
  io_uring_sqe& entry = rings_->entries.At<io_uring_sqe>(0)[index];
  entry = {};
  entry.opcode = operation.kind == IoOperation::Kind::kRead ? IORING_OP_READ : IORING_OP_WRITE;
  entry.fd = operation.fd;
  entry.off = operation.offset;
  entry.addr = reinterpret_cast<uint64_t>(operation.data);
  entry.len = operation.bytes;
  entry.user_data = operation.tag;
  rings_->array[index] = index;
  Release(rings_->tail, tail + 1);
  ++rings_->pending;
  ++rings_->unsubmitted;
}

Status IoRing::Submit(uint32_t wait_for) {
  wait_for = std::min(wait_for, rings_->pending);
  const auto completed = [this] { return Acquire(rings_->done_tail) - *rings_->done_head; };
  while (rings_->unsubmitted > 0 || completed() < wait_for) {
    const long entered = syscall(SYS_io_uring_enter, rings_->fd, rings_->unsubmitted, wait_for,
                                 wait_for > 0 ? IORING_ENTER_GETEVENTS : 0u, nullptr, size_t{0});
    if (entered >= 0) {
      rings_->unsubmitted -= static_cast<uint32_t>(entered);
    } else if (errno != EINTR && errno != EAGAIN && errno != EBUSY) {
      return Fail(Errc::kIo, "the system refuses operations of an io_uring: {}",
                  std::strerror(errno));
    }
  }
  return Ok();
}

std::optional<IoCompletion> IoRing::Take() {
  const uint32_t head = *rings_->done_head;
  if (head == Acquire(rings_->done_tail)) return std::nullopt;
  const io_uring_cqe& entry = rings_->done[head & *rings_->done_mask];
  const IoCompletion completion{entry.user_data, entry.res};
  Release(rings_->done_head, head + 1);
  --rings_->pending;
  return completion;
}

}  // namespace cairn
