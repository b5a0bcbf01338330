#include "tools/run_metrics.h"

namespace cairn {

void RunMetrics::Watch(const RunCounters& counters, const StepCounts& steps,
                       const TieredStore& tiers) {
  const std::lock_guard lock(mutex_);
  counters_ = &counters;
  steps_ = &steps;
  tiers_ = &tiers;
}

void RunMetrics::Release() {
  const std::lock_guard lock(mutex_);
  if (counters_ == nullptr) return;
  last_ = SampleNow();
  last_.queues = {};  // what waited is done
  counters_ = nullptr;
  steps_ = nullptr;
  tiers_ = nullptr;
}

MetricsSample RunMetrics::Sample() const {
  const std::lock_guard lock(mutex_);
  return counters_ == nullptr ? last_ : SampleNow();
}

MetricsSample RunMetrics::SampleNow() const {
  return {.tokens_read = counters_->tokens_read,
          .tokens_generated = counters_->tokens_generated,
          .commits = counters_->commits,
          .steps_on_device = steps_->on_device,
          .steps_by_host = steps_->by_host,
          .tiers = tiers_->Report(),
          .queues = tiers_->Queues(),
          .search = timeline_.Latency("search"),
          .attention = timeline_.Latency("attention"),
          .commit = timeline_.Latency("commit")};
}

}  // namespace cairn
