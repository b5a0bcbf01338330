#include "base/timeline.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace cairn {
namespace {

uint32_t ThisThread() {
  thread_local const auto id = static_cast<uint32_t>(syscall(SYS_gettid));
  return id;
}

double Microseconds(Timeline::Clock::duration passed) {
  return std::chrono::duration<double, std::micro>(passed).count();
}

}  // namespace

void Timeline::Add(const char* name, int64_t number, Clock::time_point begin,
                   Clock::time_point end) {
  const std::lock_guard lock(mutex_);
  if (options_.latencies) AddLatency(name, end - begin);
  if (!options_.slices) return;
  if (entries_.size() >= kMostSlices) {
    ++left_out_;
    return;
  }
  entries_.push_back({name, number, begin, end, ThisThread()});
}

void Timeline::AddLatency(const char* name, Clock::duration passed) {
  auto found = std::ranges::find(latencies_, name, &decltype(latencies_)::value_type::first);
  if (found == latencies_.end()) found = latencies_.insert(found, {name, LatencyHistogram()});
  found->second.Record(
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count()));
}

LatencyHistogram Timeline::Latency(std::string_view name) {
  const std::lock_guard lock(mutex_);
  LatencyHistogram all;
  for (const auto& [one, latency] : latencies_) {
    if (one == name) all.Merge(latency);
  }
  return all;
}

size_t Timeline::size() {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

std::string Timeline::ToJson() {
  const std::lock_guard lock(mutex_);
  // Outer slices first where two begin together, as readers of the format expect.
  std::ranges::stable_sort(entries_, [](const Entry& a, const Entry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
  });
  const auto first = entries_.empty() ? Clock::time_point() : entries_.front().begin;
  const auto process = static_cast<int64_t>(getpid());
  std::string json = fmt::format(
      "{{\"displayTimeUnit\":\"ns\",\"otherData\":{{\"left_out\":{}}},\"traceEvents\":[\n"
      "{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{},\"tid\":0,\"args\":{{\"name\":"
      "\"cairn\"}}}}",
      left_out_, process);
  for (const Entry& entry : entries_) {
    json += fmt::format(
        ",\n{{\"ph\":\"X\",\"name\":\"{}\",\"cat\":\"cairn\",\"pid\":{},\"tid\":{},\"ts\":{:.3f},"
        "\"dur\":{:.3f}",
        entry.name, process, entry.thread, Microseconds(entry.begin - first),
        Microseconds(entry.end - entry.begin));
    if (entry.number >= 0) json += fmt::format(",\"args\":{{\"number\":{}}}", entry.number);
    json += "}";
  }
  return json + "\n]}\n";
}

}  // namespace cairn
