// TieredStore: the tiers as one. Seal makes a block immutable, Fetch brings blocks to compute
// memory and pins them there, Flush makes sealed blocks durable.
//
// Tiers: compute (a slab of its own, if compute_bytes > 0), host (a slab), cold (a ColdStore).
// Without a compute tier pins point into host slots. With a device the compute tier lies there and
// the host tier is pinned; copies between them go on while callers do, so that who reads pins on
// the device orders a stream after them first. A sealed block is dirty until a Flush has
// written it; a dirty block is never evicted. Seal flushes by itself when dirty blocks fill half
// of the host tier, so a small budget slows down but does not fail. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/device.h"
#include "base/error.h"
#include "base/latency_histogram.h"
#include "base/timeline.h"
#include "storage/access_trace.h"
#include "storage/block_id.h"
#include "storage/cold_store.h"
#include "storage/executor.h"
#include "storage/pin_holders.h"

namespace cairn {

struct TieredStoreOptions {
  size_t payload_bytes = 0;            ///< bytes of a block's payload, the same for all blocks
  uint64_t host_bytes = 512ull << 20;  ///< budget of the host tier: slots and their table
  uint64_t compute_bytes = 0;          ///< budget of the compute tier; 0: attend in the host tier
  Device* device = nullptr;            ///< has the compute tier; must outlive the store
  size_t min_pinned_blocks = 0;        ///< the most blocks one Fetch will ask for
  bool read_ahead = false;             ///< false: ReadAhead does nothing
  AccessTrace* trace = nullptr;        ///< told of every access; must outlive the store
  Timeline* timeline = nullptr;        ///< told how long fetches take; must outlive the store

  /// kResource with the least budget that would work if a tier cannot hold what one Fetch pins.
  Status Validate() const;
};

/// What one tier did since open.
struct TierReport {
  const char* name = "";         ///< "compute", "host" or "cold"
  uint64_t capacity_bytes = 0;   ///< 0: unlimited
  uint64_t held_bytes = 0;       ///< payload bytes in it now (cold: written by this process or not)
  uint64_t fetched_blocks = 0;   ///< look-ups that reached this tier
  uint64_t hit_blocks = 0;       ///< of them, found here
  uint64_t bytes_in = 0;         ///< payload bytes copied or read into it
  uint64_t ahead_blocks = 0;     ///< host: blocks that ReadAhead brought there
  uint64_t verify_failures = 0;  ///< cold: batches with a record that was not what it should be
  uint64_t waited_ns = 0;        ///< of the fastest tier: time that callers stood in Fetch and Wait
  LatencyHistogram latency_ns;   ///< of a batch served by this tier, per batch
};

/// What waits inside a store at a moment.
struct StoreQueues {
  uint64_t fetches = 0;           ///< batches that the I/O thread has not begun
  uint64_t hints = 0;             ///< of ReadAhead, not begun
  uint64_t unwritten_blocks = 0;  ///< sealed, and not yet on disk
};

enum class StoreTier : uint8_t { kCompute, kHost, kCold };
/// As in TierReport::name.
constexpr const char* StoreTierName(StoreTier tier) {
  return tier == StoreTier::kCompute ? "compute" : tier == StoreTier::kHost ? "host" : "cold";
}

class TieredStore;

/// Proof that blocks sit in compute memory: pointers stay valid until it is destroyed. Move-only.
class Pins {
 public:
  Pins() = default;
  Pins(Pins&& other) noexcept;
  Pins& operator=(Pins&& other) noexcept;
  ~Pins();

  /// Payloads in the order of the ids that were fetched.
  std::span<const std::byte* const> payloads() const { return payloads_; }

  /// Takes over the blocks of `other`, of the same store and tier, behind its own.
  void Append(Pins&& other);
  /// Gives back those that `keep` has 0 for; keep.size() == payloads().size(). Others keep their
  /// order.
  void Filter(std::span<const uint8_t> keep);

 private:
  friend class TieredStore;
  TieredStore* store_ = nullptr;
  bool on_host_ = false;  // else in the fastest tier
  std::vector<uint32_t> slots_;
  std::vector<const std::byte*> payloads_;
};

class TieredStore {
 private:
  struct Impl;

 public:
  /// A fetch under way on the store's I/O thread. Wait() once; destroying it waits.
  class Ticket {
   public:
    Ticket();
    ~Ticket();
    Ticket(Ticket&&) noexcept;
    Ticket& operator=(Ticket&&) noexcept;
    Result<Pins> Wait();

   private:
    friend class TieredStore;
    struct State;
    std::optional<Result<Pins>> ready_;  // if no work was needed
    std::unique_ptr<State> state_;       // else
  };

  /// `cold` must outlive the store.
  static Result<std::unique_ptr<TieredStore>> Open(const TieredStoreOptions& options,
                                                   ColdStore& cold);
  /// As above with an executor of the caller's for StartFetch, e.g. one that a test drives, and if
  /// wanted one for ReadAhead.
  static Result<std::unique_ptr<TieredStore>> Open(const TieredStoreOptions& options,
                                                   ColdStore& cold,
                                                   std::unique_ptr<Executor> executor,
                                                   std::unique_ptr<Executor> ahead = nullptr);
  explicit TieredStore(std::unique_ptr<Impl> impl);
  ~TieredStore();

  /// Copies a payload (payload_bytes) into the host tier under a new id. Blocks of an extent are
  /// sealed in ascending id order. kOutOfSpace / kIo if room had to be made on disk and was not.
  Status Seal(const BlockId& id, std::span<const std::byte> payload);

  /// Writes every dirty block of `extent` (0: of all extents) to the cold tier; durable on success.
  /// On an error all of them stay dirty and in memory.
  Status Flush(uint64_t extent);

  /// Forgets the blocks of `extent` with ordinal ≥ `from` in all tiers; kBusy if one is pinned. If
  /// the cold tier fails, memory keeps them and the call can be repeated.
  Status Discard(uint64_t extent, uint32_t from);

  /// Pins all of `ids` (duplicates allowed) in compute memory: a table look-up for hits, one
  /// batched copy for host hits (with a compute tier), one batched read for the rest. Every record
  /// read from the cold tier is verified against its identity; kCorruption names the block and
  /// nothing is pinned. kResource if they do not fit beside what is pinned now and in use.
  Result<Pins> Fetch(std::span<const BlockId> ids);
  /// The same, into the host tier whatever other there is: for those who read payloads by
  /// themselves.
  Result<Pins> FetchToHost(std::span<const BlockId> ids);

  /// As Fetch, on the I/O thread, while the caller computes. If every block is resident already
  /// the ticket is ready at once and no thread is woken.
  Ticket StartFetch(std::span<const BlockId> ids);

  /// A hint that `ids` may be wanted soon: those that are in no memory are read into the host tier
  /// on a thread of their own. Does what there is room for: no more than a quarter of the tier at
  /// once, in place of blocks that may go; else, and after an error, nothing, which a later fetch
  /// then meets itself. Never waits.
  void ReadAhead(std::span<const BlockId> ids);
  /// Whether hints are taken at all; where not, nobody needs to find out what to hint at.
  bool reads_ahead() const;
  /// Of the options; may be null.
  Timeline* timeline() const;
  /// Of the options: where pins of Fetch point; null: to the host's memory.
  Device* device() const;
  /// What is put on `stream`, of that device, from now on sees all blocks fetched so far.
  Status OrderAfterCopies(DeviceStream& stream);

  /// The slots of the fastest tier, where payloads of Fetch's pins lie, slot_bytes apart.
  struct TopSlots {
    const std::byte* first;
    size_t slot_bytes;
    uint32_t count;
    uint32_t available;  ///< that a Fetch could take now
  };
  TopSlots top_slots() const;
  /// Those who keep pins of Fetch.
  PinHolders& holders();
  /// Of who keeps pins of Fetch and looks them up itself: those at `places` are used, all of one
  /// layer, duplicates allowed. As for a Fetch that finds them, they are hits of the fastest tier
  /// and worth more there; the others learn only what they are asked for.
  void Use(const Pins& pins, std::span<const uint32_t> places);
  /// How long each block of pins of Fetch is expected not to be used: of any that were let go, the
  /// one with the longest way is evicted first. ways.size() == pins.payloads().size().
  void Ways(const Pins& pins, std::span<int32_t> ways) const;
  /// Whether an AccessTrace is told of accesses, which those of Use are not.
  bool traces() const;

  /// The fastest tier that each of `ids` is in now; a block on its way into one counts as there.
  /// What is in no memory counts as cold. Not a use. tiers.size() == ids.size().
  void Locate(std::span<const BlockId> ids, std::span<StoreTier> tiers) const;
  /// Reports of the tiers present, fastest first.
  std::vector<TierReport> Report() const;
  StoreQueues Queues() const;
  /// Payload bytes of `extent` or of all extents (0) that are only in memory, waiting for a Flush.
  uint64_t DirtyBytes(uint64_t extent = 0) const;

 private:
  friend class Pins;
  class WaitClock;
  void Trace(AccessKind kind, std::span<const BlockId> ids);
  /// Fetch without the trace.
  Result<Pins> FetchNow(std::span<const BlockId> ids);
  /// Makes pins of slots that are pinned.
  void Complete(Pins& pins);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn
