// LadderCase: something to be timed; and the two ways of timing it. A closed loop starts an
// operation when the one before has ended, and so never sees a queue. An open loop starts them at
// given times, as users do, and counts from the time at which one should have started.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bench/ladder_point.h"

namespace cairn {

class LadderCase {
 public:
  LadderCase(LadderKey key, uint64_t operation_bytes, bool cold = false)
      : key_(std::move(key)), operation_bytes_(operation_bytes), cold_(cold) {}
  virtual ~LadderCase() = default;

  const LadderKey& key() const { return key_; }
  /// Payload that one operation is to bring; 0: what it asks for is there, and nothing moves.
  uint64_t operation_bytes() const { return operation_bytes_; }
  /// All of it must come from the device.
  bool cold() const { return cold_; }

  /// Called before each turn, not timed.
  virtual Status Prepare() { return Ok(); }
  /// Does `count` operations; called from key().readers threads at once, `reader` from 0 on.
  virtual Status Run(int reader, uint64_t count) = 0;
  /// Whether the turn has to end, e.g. because all that was cold has been read. Thread-safe.
  virtual bool UsedUp() const { return false; }
  /// Called when the threads of a turn have ended, before Finish, not timed: notes in it what has
  /// moved, and where it was found.
  virtual void Note(LadderTurn& turn) { turn.payload_bytes = turn.operations * operation_bytes_; }
  /// Called after each turn, not timed: gives back what Prepare took.
  virtual void Finish() {}

 private:
  const LadderKey key_;
  const uint64_t operation_bytes_;
  const bool cold_;
};

/// The numbers below `count` in a random order, the same for the same seed.
std::vector<uint32_t> ShuffledOrder(uint32_t count, uint64_t seed);

/// A walk over things in the order given, again and again; each reader has a part of its own.
template <class T>
class Walk {
 public:
  Walk(std::vector<T> order, int readers)
      : order_(std::move(order)), parts_(static_cast<size_t>(readers)) {
    const size_t share = order_.size() / parts_.size();
    for (size_t i = 0; i < parts_.size(); ++i) {
      parts_[i].begin = parts_[i].next = i * share;
      parts_[i].end = (i + 1) * share;
    }
  }

  /// The next `count`, which a reader's part has at least.
  std::span<const T> Next(int reader, size_t count) {
    Part& part = parts_[static_cast<size_t>(reader)];
    if (part.next + count > part.end) {
      part.next = part.begin;
      repeats_.store(true, std::memory_order_relaxed);
    }
    part.next += count;
    return {order_.data() + part.next - count, count};
  }
  /// Whether what is given now was given before, since Restart.
  bool repeats() const { return repeats_.load(std::memory_order_relaxed); }
  /// Not while readers walk.
  void Restart() {
    for (Part& part : parts_) part.next = part.begin;
    repeats_ = false;
  }
  const std::vector<T>& order() const { return order_; }
  /// Another order, of as many.
  void Replace(std::vector<T> order) { order_ = std::move(order); }

 private:
  struct alignas(64) Part {
    size_t begin = 0, next = 0, end = 0;
  };
  std::vector<T> order_;
  std::vector<Part> parts_;
  std::atomic<bool> repeats_ = false;
};

/// Counters of the device that holds `directory`.
class DeviceCounters {
 public:
  explicit DeviceCounters(const std::string& directory);
  /// Path of the kernel's statistics, e.g. "/sys/dev/block/254:0/stat"; empty if there are none.
  const std::string& path() const { return path_; }
  /// Bytes that the device was asked to read so far.
  std::optional<uint64_t> ReadBytes() const;
  /// Bytes that this process has caused to be read from devices (/proc/self/io, read_bytes).
  static std::optional<uint64_t> ProcessReadBytes();

 private:
  std::string path_;
};

/// CPU seconds of this process, all threads, to the nanosecond.
double ProcessCpuSeconds();

/// One turn of at least `seconds`, or until the case is used up. `together` operations are done
/// between two looks at the clock, and each counts as a part of the time.
Result<LadderTurn> RunClosedTurn(LadderCase& timed, const DeviceCounters& device, double seconds,
                                 uint32_t together);

/// Starts `rate` operations a second, evenly spaced or with the gaps of a Poisson process of
/// `seed`; `readers` threads take them in turn.
struct OpenLoop {
  double rate_per_second = 0;
  bool poisson = false;
  uint64_t seed = 1;
};
Result<LadderTurn> RunOpenTurn(LadderCase& timed, const DeviceCounters& device, double seconds,
                               const OpenLoop& loop);

}  // namespace cairn
