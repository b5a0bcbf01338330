// Timeline: what a run did when, as slices that the Perfetto viewer and chrome://tracing show.
//
// Thread-safe. A null timeline costs a comparison: Slice does nothing then.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace cairn {

class Timeline {
 public:
  using Clock = std::chrono::steady_clock;

  /// Most slices that are kept; what comes after is counted and left out.
  static constexpr size_t kMostSlices = 4'000'000;

  /// `name` must be a literal. `number`: a layer, say; -1: none.
  void Add(const char* name, int64_t number, Clock::time_point begin, Clock::time_point end);
  size_t size();

  /// The trace event format: one JSON object, times in microseconds from the first slice's begin.
  std::string ToJson();

 private:
  struct Entry {
    const char* name;
    int64_t number;
    Clock::time_point begin, end;
    uint32_t thread;
  };

  std::mutex mutex_;
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
