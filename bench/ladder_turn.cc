#include "bench/ladder_turn.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <ctime>
#include <fstream>
#include <functional>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace cairn {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kSectorBytes = 512;  // the unit of the kernel's statistics, on every device

uint64_t PicosecondsBetween(Clock::time_point from, Clock::time_point to) {
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(to - from).count();
  return static_cast<uint64_t>(std::max<int64_t>(ns, 0)) * 1000;
}

/// Waits until `time`: sleeps while it is far, so that other readers have the core, and then looks
/// at the clock.
void WaitUntil(Clock::time_point time) {
  constexpr auto kNear = std::chrono::microseconds(80);
  for (;;) {
    const auto left = time - Clock::now();
    if (left <= Clock::duration::zero()) return;
    if (left > 2 * kNear) std::this_thread::sleep_for(left - kNear);
  }
}

/// What the threads of a turn share.
class Turn {
 public:
  Turn(LadderCase& timed, const DeviceCounters& device) : timed_(timed), device_(device) {}

  /// body(reader, turn) runs in each reader's thread; its turn has what it recorded.
  Result<LadderTurn> Run(const std::function<Status(int, LadderTurn&)>& body) {
    LadderTurn sum;
    const auto process_bytes = DeviceCounters::ProcessReadBytes();
    const auto device_bytes = device_.ReadBytes();
    const double cpu_seconds = ProcessCpuSeconds();
    const auto start = Clock::now();
    const auto work = [&](int reader) {
      LadderTurn own;
      Status status = body(reader, own);
      const std::lock_guard lock(mutex_);
      if (!status) status_ = std::move(status);
      sum.latency_ps.Merge(own.latency_ps);
      sum.service_ps.Merge(own.service_ps);
      sum.operations += own.operations;
    };
    std::vector<std::thread> threads;
    for (int reader = 1; reader < timed_.key().readers; ++reader)
      threads.emplace_back(work, reader);
    work(0);
    for (std::thread& thread : threads) thread.join();
    sum.seconds = static_cast<double>(PicosecondsBetween(start, Clock::now())) * 1e-12;
    sum.cpu_seconds = ProcessCpuSeconds() - cpu_seconds;
    CAIRN_TRY(status_);
    const auto process_after = DeviceCounters::ProcessReadBytes();
    const auto device_after = device_.ReadBytes();
    if (process_bytes && process_after) sum.process_read_bytes = *process_after - *process_bytes;
    if (device_bytes && device_after) sum.device_read_bytes = *device_after - *device_bytes;
    timed_.Note(sum);
    return sum;
  }

  bool UsedUp() const { return timed_.UsedUp(); }

 private:
  LadderCase& timed_;
  const DeviceCounters& device_;
  std::mutex mutex_;
  Status status_ = Ok();
};

}  // namespace

DeviceCounters::DeviceCounters(const std::string& directory) {
  struct stat info {};
  if (stat(directory.c_str(), &info) != 0) return;
  const std::string path =
      fmt::format("/sys/dev/block/{}:{}/stat", major(info.st_dev), minor(info.st_dev));
  if (access(path.c_str(), R_OK) == 0) path_ = path;
}

std::vector<uint32_t> ShuffledOrder(uint32_t count, uint64_t seed) {
  std::vector<uint32_t> order(count);
  for (uint32_t i = 0; i < count; ++i) order[i] = i;
  std::mt19937_64 random(seed);
  std::ranges::shuffle(order, random);
  return order;
}

std::optional<uint64_t> DeviceCounters::ReadBytes() const {
  if (path_.empty()) return std::nullopt;
  std::ifstream file(path_);
  uint64_t requests = 0, merged = 0, sectors = 0;
  if (!(file >> requests >> merged >> sectors)) return std::nullopt;
  return sectors * kSectorBytes;
}

std::optional<uint64_t> DeviceCounters::ProcessReadBytes() {
  std::ifstream io("/proc/self/io");
  std::string key;
  for (uint64_t value = 0; io >> key >> value;) {
    if (key == "read_bytes:") return value;
  }
  return std::nullopt;
}

double ProcessCpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

Result<LadderTurn> RunClosedTurn(LadderCase& timed, const DeviceCounters& device, double seconds,
                                 uint32_t together) {
  Turn turn(timed, device);
  const auto length =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  const auto end = Clock::now() + length;
  std::atomic<bool> over = false;
  return turn.Run([&](int reader, LadderTurn& own) -> Status {
    while (!over.load(std::memory_order_relaxed)) {
      const auto start = Clock::now();
      Status status = timed.Run(reader, together);
      const auto now = Clock::now();
      if (!status) {
        over = true;
        return status;
      }
      own.latency_ps.Record(PicosecondsBetween(start, now) / together);
      own.operations += together;
      if (now >= end || turn.UsedUp()) over = true;
    }
    return Ok();
  });
}

Result<LadderTurn> RunOpenTurn(LadderCase& timed, const DeviceCounters& device, double seconds,
                               const OpenLoop& loop) {
  std::vector<Clock::duration> starts;
  std::mt19937_64 random(loop.seed);
  std::exponential_distribution<double> gap(1);
  double at = 0;
  for (;;) {
    at += (loop.poisson ? gap(random) : 1.0) / loop.rate_per_second;
    if (at > seconds && !starts.empty()) break;
    starts.push_back(
        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(at)));
  }
  Turn turn(timed, device);
  std::atomic<size_t> next = 0;
  std::atomic<bool> over = false;
  const auto begin = Clock::now();
  return turn.Run([&](int reader, LadderTurn& own) -> Status {
    for (size_t i = next++; i < starts.size() && !over; i = next++) {
      const auto intended = begin + starts[i];
      WaitUntil(intended);
      const auto start = Clock::now();
      Status status = timed.Run(reader, 1);
      const auto now = Clock::now();
      if (!status || turn.UsedUp()) over = true;
      CAIRN_TRY(std::move(status));
      own.latency_ps.Record(PicosecondsBetween(intended, now));
      own.service_ps.Record(PicosecondsBetween(start, now));
      ++own.operations;
    }
    return Ok();
  });
}

}  // namespace cairn
