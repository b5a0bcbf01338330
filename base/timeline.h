// Timeline: what a run did when, as slices that the Perfetto viewer and chrome://tracing show.
//
// Thread-safe. A null timeline costs a comparison: Slice does nothing then.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/latency_histogram.h"

namespace cairn {

/// What a timeline keeps of the slices it is told.
struct TimelineOptions {
  bool slices = true;      ///< each of them, for ToJson
  bool latencies = false;  ///< for each name how long they took, for Latency
};

class Timeline {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Timeline(const TimelineOptions& options = {}) : options_(options) {}

  /// Most slices that are kept; what comes after is counted and left out.
  static constexpr size_t kMostSlices = 4'000'000;

  /// `name` must be a literal. `number`: a layer, say; -1: none.
  void Add(const char* name, int64_t number, Clock::time_point begin, Clock::time_point end);
  /// Slices that are kept.
  size_t size();

  /// The trace event format: one JSON object, times in microseconds from the first slice's begin.
  std::string ToJson();
  /// How long the slices of this name took that have ended.
  LatencyHistogram Latency(std::string_view name);

 private:
  struct Entry {
    const char* name;
    int64_t number;
    Clock::time_point begin, end;
    uint32_t thread;
  };

  void AddLatency(const char* name, Clock::duration passed);

  const TimelineOptions options_;
  std::mutex mutex_;
  std::vector<std::pair<const char*, LatencyHistogram>> latencies_;  // a literal may come twice
  std::vector<Entry> entries_;
  uint64_t left_out_ = 0;
};

/// A slice from its construction to its destruction, on the calling thread.
class Slice {
 public:
  Slice(Timeline* timeline, const char* name, int64_t number = -1)
      : timeline_(timeline), name_(name), number_(number) {
    if (timeline_ != nullptr) begin_ = Timeline::Clock::now();
  }
  ~Slice() {
    if (timeline_ != nullptr) timeline_->Add(name_, number_, begin_, Timeline::Clock::now());
  }
  Slice(const Slice&) = delete;
  Slice& operator=(const Slice&) = delete;

 private:
  Timeline* timeline_;
  const char* name_;
  int64_t number_;
  Timeline::Clock::time_point begin_;
};

}  // namespace cairn
