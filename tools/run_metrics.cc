#include "tools/run_metrics.h"

#include <algorithm>
#include <string_view>

namespace cairn {
namespace {

void AddCounts(const TierReport& before, TierReport* tier) {
  tier->fetched_blocks += before.fetched_blocks;
  tier->hit_blocks += before.hit_blocks;
  tier->bytes_in += before.bytes_in;
  tier->ahead_blocks += before.ahead_blocks;
  tier->verify_failures += before.verify_failures;
  tier->waited_ns += before.waited_ns;
  tier->latency_ns.Merge(before.latency_ns);
}

}  // namespace

void RunMetrics::Watch(const RunCounters& counters, const StepCounts& steps,
                       const TieredStore& tiers) {
  const std::lock_guard lock(mutex_);
  counters_ = &counters;
  steps_ = &steps;
  tiers_ = &tiers;
  before_ = last_;
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
  MetricsSample sample{.tokens_read = before_.tokens_read + counters_->tokens_read,
                       .tokens_generated = before_.tokens_generated + counters_->tokens_generated,
                       .commits = before_.commits + counters_->commits,
                       .steps_on_device = before_.steps_on_device + steps_->on_device,
                       .steps_by_host = before_.steps_by_host + steps_->by_host,
                       .tiers = tiers_->Report(),
                       .queues = tiers_->Queues(),
                       .search = timeline_.Latency("search"),
                       .attention = timeline_.Latency("attention"),
                       .commit = timeline_.Latency("commit")};
  for (TierReport& tier : sample.tiers) {
    const auto found = std::ranges::find(before_.tiers, std::string_view(tier.name),
                                         [](const TierReport& one) { return one.name; });
    if (found != before_.tiers.end()) AddCounts(*found, &tier);
  }
  return sample;
}

}  // namespace cairn
