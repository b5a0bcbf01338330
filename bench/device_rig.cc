#include "bench/device_rig.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "bench/process_usage.h"

namespace cairn {

Status DeviceRig::Open() {
  CAIRN_TRY(device_.Use());
  CAIRN_TRY(stream_, device_.MakeStream());
  CAIRN_TRY(from_, device_.MakeTimedEvent());
  CAIRN_TRY(to_, device_.MakeTimedEvent());
  return Ok();
}

Status DeviceRig::Fill(const DeviceBuffer& buffer, const PinnedBuffer& numbers) {
  for (size_t at = 0; at < buffer.bytes();) {
    const size_t piece = std::min(numbers.bytes(), buffer.bytes() - at);
    CAIRN_TRY(stream_.CopyToDevice(buffer.data() + at, numbers.data(), piece));
    at += piece;
  }
  return stream_.Wait();
}

template <class Round>
Result<double> DeviceRig::MedianOf(const char* what, Round round) {
  std::vector<double> seconds;
  for (int32_t i = -1; i < rounds_; ++i) {
    if (stop_(fmt::format("{}, round {} of {}", what, std::max(0, i) + 1, rounds_))) {
      return Fail(Errc::kInterrupted, "stopped; nothing was kept");
    }
    CAIRN_TRY(const double passed, round());
    if (i >= 0) seconds.push_back(passed);
  }
  return Median(std::move(seconds));
}

Result<double> DeviceRig::HostSeconds(const char* what, FunctionRef<Status()> work) {
  return MedianOf(what, [&]() -> Result<double> {
    const Stopwatch watch;
    CAIRN_TRY(stream_.WaitAfter(work()));
    return watch.Seconds();
  });
}

Result<double> DeviceRig::DeviceSeconds(const char* what, int32_t times,
                                        FunctionRef<Status(int32_t)> work) {
  return MedianOf(what, [&]() -> Result<double> {
    Status put = work(0);  // not timed: else the host's way to the first launch would be
    if (put) put = stream_.Record(from_);
    for (int32_t i = 0; put && i < times; ++i) put = work(i);
    if (put) put = stream_.Record(to_);
    CAIRN_TRY(stream_.WaitAfter(put));
    CAIRN_TRY(const double passed, to_.SecondsSince(from_));
    return passed / times;
  });
}

Result<TokenTime> DeviceRig::TimeToken(const char* what, int32_t tokens,
                                       FunctionRef<Status(int32_t)> put) {
  std::vector<DeviceGraph> graphs;
  for (int32_t token = 0; token < tokens; ++token) {
    CAIRN_TRY(stream_.BeginCapture());
    const Status captured = put(token);
    auto graph = stream_.EndCapture();
    CAIRN_TRY(captured);
    CAIRN_TRY(graphs.emplace_back(), std::move(graph));
  }
  TokenTime time;
  CAIRN_TRY(time.seconds, DeviceSeconds(what, replays_, [&](int32_t i) {
              return stream_.Run(graphs[static_cast<size_t>(i) % graphs.size()]);
            }));
  size_t next = 0;
  CAIRN_TRY(time.waited_seconds,
            HostSeconds(what, [&] { return stream_.Run(graphs[next++ % graphs.size()]); }));
  return time;
}

}  // namespace cairn
