#include "storage/tiered_store.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/byte_size.h"
#include "base/check.h"
#include "storage/tiered_store_impl.h"

namespace cairn {
namespace {

/// Fetches that may wait for the I/O thread; beyond it the caller of Wait does the work.
constexpr size_t kFetchQueueLimit = 64;
/// Hints that may wait; further ones are dropped.
constexpr size_t kAheadQueueLimit = 2;

uint64_t HostBytesPerSlot(const TieredStoreOptions& options) {
  return SlabPool::SlotBytes(options.payload_bytes) + BlockTable::kBytesPerSlot;
}

uint64_t ComputeBytesPerSlot(const TieredStoreOptions& options) {
  return SlabPool::SlotBytes(options.payload_bytes) + BlockTable::kBytesPerSlot;
}

uint32_t Slots(uint64_t budget_bytes, uint64_t bytes_per_slot) {
  return static_cast<uint32_t>(std::min<uint64_t>(budget_bytes / bytes_per_slot, kNoSlot - 1));
}

Status CheckBudget(const char* tier, uint64_t budget_bytes, uint64_t bytes_per_slot,
                   uint64_t least_slots) {
  if (Slots(budget_bytes, bytes_per_slot) >= least_slots) return Ok();
  const uint64_t least_bytes = least_slots * bytes_per_slot;
  return Fail(Errc::kResource,
              "the {} tier must hold {} blocks of {} at once: give it at least {} bytes ({}) by "
              "--{}-memory; it has {}",
              tier, least_slots, FormatByteSize(bytes_per_slot), least_bytes,
              FormatByteSize(least_bytes), tier, FormatByteSize(budget_bytes));
}

}  // namespace

Status TieredStoreOptions::Validate() const {
  if (payload_bytes == 0 || payload_bytes > UINT32_MAX) {
    return Fail(Errc::kInvalidArgument, "a block's payload must have 1 byte to 4 GiB, not {} bytes",
                payload_bytes);
  }
  // One block beside what a fetch pins, so that Seal finds room while pins are held.
  const uint64_t host_slots = std::max<uint64_t>(2, uint64_t{min_pinned_blocks} + 1);
  CAIRN_TRY(CheckBudget("host", host_bytes, HostBytesPerSlot(*this), host_slots));
  if (compute_bytes == 0 && device == nullptr) return Ok();
  return CheckBudget("compute", compute_bytes, ComputeBytesPerSlot(*this),
                     std::max<uint64_t>(1, min_pinned_blocks));
}

Pins::Pins(Pins&& other) noexcept
    : store_(std::exchange(other.store_, nullptr)),
      on_host_(other.on_host_),
      slots_(std::move(other.slots_)),
      payloads_(std::move(other.payloads_)) {}

Pins& Pins::operator=(Pins&& other) noexcept {
  std::swap(store_, other.store_);
  std::swap(on_host_, other.on_host_);
  std::swap(slots_, other.slots_);
  std::swap(payloads_, other.payloads_);
  Pins released(std::move(other));
  return *this;
}

Pins::~Pins() {
  if (store_ == nullptr) return;
  TieredStore::Impl& impl = *store_->impl_;
  impl.Unpin(on_host_ ? impl.host : impl.top(), slots_);
}

void Pins::Append(Pins&& other) {
  if (store_ == nullptr) {
    *this = std::move(other);
    return;
  }
  CAIRN_CHECK(other.store_ == nullptr || (other.store_ == store_ && other.on_host_ == on_host_));
  slots_.insert(slots_.end(), other.slots_.begin(), other.slots_.end());
  payloads_.insert(payloads_.end(), other.payloads_.begin(), other.payloads_.end());
  other.store_ = nullptr;
  other.slots_.clear();
  other.payloads_.clear();
}

void Pins::Filter(std::span<const uint8_t> keep) {
  CAIRN_CHECK(keep.size() == payloads_.size());
  std::vector<uint32_t> released;
  size_t kept = 0;
  for (size_t i = 0; i < keep.size(); ++i) {
    if (keep[i] == 0) {
      released.push_back(slots_[i]);
      continue;
    }
    slots_[kept] = slots_[i];
    payloads_[kept++] = payloads_[i];
  }
  slots_.resize(kept);
  payloads_.resize(kept);
  if (released.empty()) return;
  TieredStore::Impl& impl = *store_->impl_;
  impl.Unpin(on_host_ ? impl.host : impl.top(), released);
}

/// Counts the time until its end as waited.
class TieredStore::WaitClock {
 public:
  explicit WaitClock(Impl& impl) : impl_(impl) {}
  ~WaitClock() {
    const auto passed = std::chrono::steady_clock::now() - start_;
    impl_.waited_ns +=
        static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count());
  }

 private:
  Impl& impl_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// What the caller and the I/O thread share. Its destructor waits for the I/O thread.
struct TieredStore::Ticket::State {
  ~State() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return !posted || result.has_value(); });
  }

  void Finish(Result<Pins> pins) {
    // Notifies under the lock: the moment it is free, the waiting owner may destroy this.
    std::lock_guard lock(mutex);
    result.emplace(std::move(pins));
    changed.notify_all();
  }

  TieredStore* store = nullptr;
  std::vector<BlockId> ids;
  bool posted = false;  // if not, Wait does the work
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Result<Pins>> result;
};

TieredStore::Ticket::Ticket() = default;
TieredStore::Ticket::~Ticket() = default;
TieredStore::Ticket::Ticket(Ticket&&) noexcept = default;
TieredStore::Ticket& TieredStore::Ticket::operator=(Ticket&&) noexcept = default;

Result<Pins> TieredStore::Ticket::Wait() {
  if (ready_) {
    Result<Pins> pins = std::move(*ready_);
    ready_.reset();
    return pins;
  }
  CAIRN_CHECK(state_ != nullptr);
  const std::unique_ptr<State> state = std::move(state_);
  if (!state->posted) {
    const WaitClock waiting(*state->store->impl_);
    return state->store->FetchNow(state->ids);
  }
  const WaitClock waiting(*state->store->impl_);
  std::unique_lock lock(state->mutex);
  state->changed.wait(lock, [&] { return state->result.has_value(); });
  Result<Pins> pins = std::move(*state->result);
  return pins;
}

Result<std::unique_ptr<TieredStore>> TieredStore::Open(const TieredStoreOptions& options,
                                                       ColdStore& cold) {
  return Open(options, cold, std::make_unique<ThreadExecutor>(kFetchQueueLimit));
}

Result<std::unique_ptr<TieredStore>> TieredStore::Open(const TieredStoreOptions& options,
                                                       ColdStore& cold,
                                                       std::unique_ptr<Executor> executor,
                                                       std::unique_ptr<Executor> ahead) {
  CAIRN_TRY(options.Validate());
  if (options.read_ahead && ahead == nullptr) {
    ahead = std::make_unique<ThreadExecutor>(kAheadQueueLimit);
  }
  Device* const device = options.device;
  const size_t bytes = options.payload_bytes;
  const uint32_t host_slots = Slots(options.host_bytes, HostBytesPerSlot(options));
  CAIRN_TRY(SlabPool host, device == nullptr ? SlabPool::Open(bytes, host_slots)
                                             : SlabPool::OpenPinned(*device, bytes, host_slots));
  std::optional<SlabPool> compute;
  if (options.compute_bytes > 0) {
    const uint32_t slots = Slots(options.compute_bytes, ComputeBytesPerSlot(options));
    CAIRN_TRY(SlabPool slabs, device == nullptr ? SlabPool::Open(bytes, slots)
                                                : SlabPool::OpenOn(*device, bytes, slots));
    compute.emplace(std::move(slabs));
  }
  std::unique_ptr<DeviceCopies> copies;
  if (device != nullptr) {
    CAIRN_TRY(copies, DeviceCopies::Open(*device));
  }
  return std::make_unique<TieredStore>(
      std::make_unique<Impl>(options, cold, std::move(host), std::move(compute), std::move(copies),
                             std::move(executor), std::move(ahead)));
}

TieredStore::TieredStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

TieredStore::~TieredStore() {
  // Ends the threads while everything they use is still there.
  impl_->executor.reset();
  impl_->ahead.reset();
}

void TieredStore::Trace(AccessKind kind, std::span<const BlockId> ids) {
  if (impl_->options.trace != nullptr) impl_->options.trace->Record(kind, ids);
}

Status TieredStore::Seal(const BlockId& id, std::span<const std::byte> payload) {
  CAIRN_TRY(impl_->Seal(id, payload));
  Trace(AccessKind::kSeal, {&id, 1});
  return Ok();
}

Status TieredStore::Flush(uint64_t extent) { return impl_->Flush(extent); }

Status TieredStore::Discard(uint64_t extent, uint32_t from) {
  CAIRN_TRY(impl_->Discard(extent, from));
  const BlockId first{.extent = extent, .ordinal = from};
  Trace(AccessKind::kDiscard, {&first, 1});
  return Ok();
}

Result<Pins> TieredStore::Fetch(std::span<const BlockId> ids) {
  Trace(AccessKind::kFetch, ids);
  const WaitClock waiting(*impl_);
  return FetchNow(ids);
}

Result<Pins> TieredStore::FetchNow(std::span<const BlockId> ids) {
  const Slice slice(impl_->options.timeline, "fetch", static_cast<int64_t>(ids.size()));
  Pins pins;
  pins.slots_.assign(ids.size(), kNoSlot);
  CAIRN_TRY(impl_->Fetch(ids, pins.slots_));
  Complete(pins);
  return pins;
}

Result<Pins> TieredStore::FetchToHost(std::span<const BlockId> ids) {
  Trace(AccessKind::kFetch, ids);
  const WaitClock waiting(*impl_);
  Pins pins;
  pins.on_host_ = true;
  pins.slots_.assign(ids.size(), kNoSlot);
  CAIRN_TRY(impl_->FetchToHost(ids, pins.slots_));
  Complete(pins);
  return pins;
}

void TieredStore::Complete(Pins& pins) {
  pins.store_ = this;
  pins.payloads_.reserve(pins.slots_.size());
  const SlabPool& pool = (pins.on_host_ ? impl_->host : impl_->top()).pool;
  for (const uint32_t slot : pins.slots_) pins.payloads_.push_back(pool.At(slot));
}

TieredStore::Ticket TieredStore::StartFetch(std::span<const BlockId> ids) {
  Trace(AccessKind::kFetch, ids);
  Ticket ticket;
  Pins pins;
  pins.slots_.assign(ids.size(), kNoSlot);
  if (impl_->FetchResident(ids, pins.slots_)) {
    Complete(pins);
    ticket.ready_.emplace(std::move(pins));
    return ticket;
  }
  ticket.state_ = std::make_unique<Ticket::State>();
  Ticket::State* state = ticket.state_.get();
  state->store = this;
  state->ids.assign(ids.begin(), ids.end());
  state->posted = true;  // before the job may run
  if (!impl_->executor->Post([state] { state->Finish(state->store->FetchNow(state->ids)); })) {
    state->posted = false;
  }
  return ticket;
}

void TieredStore::ReadAhead(std::span<const BlockId> ids) { impl_->StartReadAhead(ids); }

TieredStore::TopSlots TieredStore::top_slots() const {
  const std::lock_guard lock(impl_->mutex);
  const MemoryTier& tier = impl_->top();
  return {tier.pool.At(0), SlabPool::SlotBytes(impl_->options.payload_bytes), tier.pool.slots(),
          tier.available()};
}

PinHolders& TieredStore::holders() { return impl_->holders; }

void TieredStore::Use(const Pins& pins, std::span<const uint32_t> places) {
  if (places.empty()) return;
  CAIRN_CHECK(!pins.on_host_);
  const std::lock_guard lock(impl_->mutex);
  BlockTable& table = impl_->top().table;
  table.BeginAccess(table.id(pins.slots_[places.front()]).layer);
  for (const uint32_t place : places) table.Touch(pins.slots_[place]);
  impl_->top_counters().fetched_blocks += places.size();
  impl_->top_counters().hit_blocks += places.size();
}

void TieredStore::Ways(const Pins& pins, std::span<int32_t> ways) const {
  CAIRN_CHECK(!pins.on_host_ && ways.size() == pins.slots_.size());
  const std::lock_guard lock(impl_->mutex);
  const BlockTable& table = impl_->top().table;
  for (size_t i = 0; i < ways.size(); ++i) ways[i] = table.Way(pins.slots_[i]);
}

bool TieredStore::traces() const { return impl_->options.trace != nullptr; }

Timeline* TieredStore::timeline() const { return impl_->options.timeline; }

Device* TieredStore::device() const { return impl_->options.device; }

Status TieredStore::OrderAfterCopies(DeviceStream& stream) {
  return impl_->copies->OrderAfter(stream);
}

bool TieredStore::reads_ahead() const { return impl_->ahead != nullptr; }

void TieredStore::Locate(std::span<const BlockId> ids, std::span<StoreTier> tiers) const {
  impl_->Locate(ids, tiers);
}

std::vector<TierReport> TieredStore::Report() const { return impl_->Report(); }

StoreQueues TieredStore::Queues() const { return impl_->Queues(); }

uint64_t TieredStore::DirtyBytes(uint64_t extent) const { return impl_->DirtyBytes(extent); }

}  // namespace cairn
