#include "storage/batch_reader.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/check.h"

namespace cairn {
namespace {

constexpr uint32_t kRingCapacity = 128;
constexpr uint64_t kPageBytes = BatchReader::kPageBytes;

struct Freed {
  void operator()(std::byte* memory) const { std::free(memory); }
};
using AlignedBytes = std::unique_ptr<std::byte[], Freed>;

AlignedBytes Allocate(size_t bytes) {
  return AlignedBytes(static_cast<std::byte*>(std::aligned_alloc(kPageBytes, bytes)));
}

/// In large pages, if the system gives them, as the slots of tiers are: what the disk writes there
/// lies in one piece.
AlignedBytes AllocateLane() {
  constexpr size_t kLargePageBytes = 2 << 20;
  static_assert(BatchReader::kLaneBytes % kLargePageBytes == 0);
  void* const memory = std::aligned_alloc(kLargePageBytes, BatchReader::kLaneBytes);
  if (memory != nullptr) (void)madvise(memory, BatchReader::kLaneBytes, MADV_HUGEPAGE);
  return AlignedBytes(static_cast<std::byte*>(memory));
}

/// The pages around a place.
struct Pages {
  explicit Pages(const FilePlace& place)
      : offset(place.offset / kPageBytes * kPageBytes),
        skip(static_cast<uint32_t>(place.offset - offset)),
        bytes(static_cast<uint32_t>((skip + place.bytes + kPageBytes - 1) / kPageBytes *
                                    kPageBytes)) {}
  uint64_t offset;
  uint32_t skip;  // before the place
  uint32_t bytes;
};

/// The place's bytes out of its pages, of which `read` bytes arrived.
std::span<const std::byte> Cut(const FilePlace& place, const std::byte* data, int64_t read) {
  const uint32_t skip = Pages(place).skip;
  if (read < static_cast<int64_t>(skip) + place.bytes) return {};
  return {data + skip, place.bytes};
}

}  // namespace

struct BatchReader::Lane {
  void Read(std::span<const FilePlace> places, Done done);

  AlignedBytes memory = AllocateLane();
  std::unique_ptr<IoRing> ring;  // after the memory: it goes first, and waits
};

BatchReader::BatchReader(Method method, WorkerPool& workers) : method_(method), workers_(workers) {
  if (method_ == Method::kThreads) return;
  auto ring = IoRing::Open(kRingCapacity);
  if (!ring) {
    method_ = Method::kThreads;
    return;
  }
  lanes_.push_back(std::make_unique<Lane>());
  lanes_.back()->ring = std::move(ring).value();
}

BatchReader::~BatchReader() = default;

std::unique_ptr<BatchReader::Lane> BatchReader::TakeLane() {
  {
    const std::lock_guard lock(mutex_);
    if (!lanes_.empty()) {
      auto lane = std::move(lanes_.back());
      lanes_.pop_back();
      return lane;
    }
  }
  auto ring = IoRing::Open(kRingCapacity);
  if (!ring) return nullptr;
  auto lane = std::make_unique<Lane>();
  lane->ring = std::move(ring).value();
  return lane;
}

void BatchReader::Read(std::span<const FilePlace> places, Done done) {
  if (places.empty()) return;
  std::unique_ptr<Lane> lane;
  if (method_ == Method::kRing) lane = TakeLane();
  if (lane == nullptr || lane->memory == nullptr) return ReadByThreads(places, done);
  lane->Read(places, done);
  if (lane->ring->pending() > 0) return;  // the ring failed: a later batch makes a new one
  const std::lock_guard lock(mutex_);
  lanes_.push_back(std::move(lane));
}

void BatchReader::Lane::Read(std::span<const FilePlace> places, Done done) {
  uint32_t slot_bytes = 0;
  for (const FilePlace& place : places) slot_bytes = std::max(slot_bytes, Pages(place).bytes);
  CAIRN_CHECK(slot_bytes <= kLaneBytes);
  const size_t slots = std::min({kLaneBytes / slot_bytes, size_t{kRingCapacity}, places.size()});
  std::vector<size_t> place_of(slots);  // which place a slot reads
  size_t next = 0;
  const auto memory_of = [&](size_t slot) { return memory.get() + slot * slot_bytes; };
  const auto start = [&](size_t slot) {
    const Pages pages(places[next]);
    place_of[slot] = next;
    ring->Add({.kind = IoOperation::Kind::kRead,
               .fd = places[next].fd,
               .offset = pages.offset,
               .data = memory_of(slot),
               .bytes = pages.bytes,
               .tag = slot});
    ++next;
  };
  for (size_t slot = 0; slot < slots; ++slot) start(slot);
  size_t finished = 0;
  while (finished < places.size()) {
    if (!ring->Submit(1)) break;
    while (const auto completion = ring->Take()) {
      const size_t slot = completion->tag;
      const size_t place = place_of[slot];
      done(place, Cut(places[place], memory_of(slot), completion->result));
      place_of[slot] = places.size();
      ++finished;
      if (next < places.size()) start(slot);
    }
  }
  if (finished == places.size()) return;
  for (const size_t place : place_of) {
    if (place < places.size()) done(place, {});
  }
  for (; next < places.size(); ++next) done(next, {});
}

void BatchReader::ReadByThreads(std::span<const FilePlace> places, Done done) {
  workers_.Run(places.size(), [&](size_t i) {
    const Pages pages(places[i]);
    const AlignedBytes memory = Allocate(pages.bytes);
    if (memory == nullptr) return done(i, {});
    ssize_t read = -1;
    do {
      read = pread(places[i].fd, memory.get(), pages.bytes, static_cast<off_t>(pages.offset));
    } while (read < 0 && errno == EINTR);
    done(i, Cut(places[i], memory.get(), read));
  });
}

}  // namespace cairn
