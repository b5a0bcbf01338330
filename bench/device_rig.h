// DeviceRig: a stream of a device on which work is timed in rounds, by the host's clock or by the
// device's own.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/device.h"
#include "base/error.h"
#include "base/parallel.h"

namespace cairn {

/// Of a token, medians.
struct TokenTime {
  double seconds = 0;  ///< by the device's clock, of one of several one behind the other
  double waited_seconds =
      0;  ///< by the host's, of one put there and waited for: its share is in it
};

/// What is on a device, as the T that lie there.
template <class T>
T* As(const DeviceBuffer& buffer) {
  return reinterpret_cast<T*>(buffer.data());
}

class DeviceRig {
 public:
  /// `stop`, which must outlive it, is asked before each round with a line about progress; if it
  /// says so, what is timed is kInterrupted. Rounds and replays are 1 or more.
  DeviceRig(Device& device, int32_t rounds, int32_t replays,
            FunctionRef<bool(const std::string&)> stop)
      : device_(device), rounds_(rounds), replays_(replays), stop_(stop) {}
  Status Open();

  Device& device() const { return device_; }
  DeviceStream& stream() { return stream_; }
  int32_t replays() const { return replays_; }

  /// A copy of `values` on the device.
  template <class T>
  Result<DeviceBuffer> Put(const std::vector<T>& values) {
    const size_t bytes = values.size() * sizeof(T);
    CAIRN_TRY(auto buffer, device_.Allocate(bytes));
    CAIRN_TRY(const auto staged, device_.AllocatePinned(bytes));
    if (bytes > 0) std::memcpy(staged.data(), values.data(), bytes);
    CAIRN_TRY(stream_.CopyToDevice(buffer.data(), staged.data(), bytes));
    CAIRN_TRY(stream_.Wait());
    return buffer;
  }
  /// Puts `numbers` there, again and again until it is full.
  Status Fill(const DeviceBuffer& buffer, const PinnedBuffer& numbers);

  /// The host's time of `work` with the wait for it: the median of the rounds, after one that does
  /// not count.
  Result<double> HostSeconds(const char* what, FunctionRef<Status()> work);
  /// The device's time of one work(i), `times` of which run one behind the other; as above.
  Result<double> DeviceSeconds(const char* what, int32_t times, FunctionRef<Status(int32_t)> work);
  /// Both for what put(i) puts on the stream, a graph for each of so many tokens, which take turns.
  /// By the device's clock as many run between two readings as there are replays.
  Result<TokenTime> TimeToken(const char* what, int32_t tokens, FunctionRef<Status(int32_t)> put);

 private:
  template <class Round>
  Result<double> MedianOf(const char* what, Round round);

  Device& device_;
  const int32_t rounds_, replays_;
  FunctionRef<bool(const std::string&)> stop_;
  DeviceStream stream_;
  DeviceEvent from_, to_;
};

}  // namespace cairn
