// RunMetrics: what can be seen of a command while it runs.
//
// It counts nothing itself: it looks at the counters that the command's own report is made of, and
// adds those of one session after the other. One thread watches and releases, any may sample.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "base/latency_histogram.h"
#include "base/timeline.h"
#include "engine/step_counts.h"
#include "storage/tiered_store.h"
#include "tools/run_counters.h"

namespace cairn {

/// All of it at one moment.
struct MetricsSample {
  uint64_t tokens_read = 0;
  uint64_t tokens_generated = 0;
  uint64_t commits = 0;
  uint64_t steps_on_device = 0;
  uint64_t steps_by_host = 0;       ///< in its place
  std::vector<TierReport> tiers{};  ///< fastest first; none before they are open
  StoreQueues queues{};
  LatencyHistogram search, attention, commit;  ///< of a layer, of a layer, of one
};

class RunMetrics {
 public:
  /// `timeline` keeps latencies and must outlive this.
  explicit RunMetrics(Timeline& timeline) : timeline_(timeline) {}

  /// From now on samples show these, which count from 0, on top of what was watched before; until
  /// Release, which must come before they go.
  void Watch(const RunCounters& counters, const StepCounts& steps, const TieredStore& tiers);
  /// Later samples show what there was at this moment.
  void Release();

  MetricsSample Sample() const;

 private:
  MetricsSample SampleNow() const;

  Timeline& timeline_;
  mutable std::mutex mutex_;
  const RunCounters* counters_ = nullptr;
  const StepCounts* steps_ = nullptr;
  const TieredStore* tiers_ = nullptr;
  MetricsSample last_;    // once released
  MetricsSample before_;  // what there was when the watched ones were at 0
};

}  // namespace cairn
