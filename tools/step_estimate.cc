#include "tools/step_estimate.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace cairn {
namespace {

using nlohmann::json;

double MedianOf(const json& point, const char* metric) {
  const json estimate = point.value(metric, json());
  if (!estimate.is_object() || !estimate.value("median", json()).is_number()) return 0;
  return estimate["median"].get<double>();
}

bool IsFetch(const json& point, const std::string& tier) {
  return point.is_object() && point.value("tier", "") == tier &&
         point.value("step", "") == "fetch" && point.value("loop", "") == "closed" &&
         point.value("readers", 0) == 1 && MedianOf(point, "p50_ns") > 0;
}

double Distance(uint64_t a, uint64_t b) {
  return std::abs(std::log(static_cast<double>(std::max<uint64_t>(a, 1)) /
                           static_cast<double>(std::max<uint64_t>(b, 1))));
}

}  // namespace

double StepEstimate::At(const Curve& curve, double x) {
  if (curve.size() == 1) return curve[0].second;
  size_t i = 1;
  while (i + 1 < curve.size() && curve[i].first < x) ++i;
  const auto& [x0, y0] = curve[i - 1];
  const auto& [x1, y1] = curve[i];
  return y0 + (y1 - y0) * (x - x0) / (x1 - x0);
}

Result<StepEstimate> StepEstimate::FromLadder(const json& ladder, uint64_t block_bytes) {
  constexpr const char* kTiers[] = {"host memory", "SSD direct"};
  StepEstimate estimate;
  for (const json& point : ladder.at("points")) {
    if (!IsFetch(point, kTiers[1])) continue;
    const auto bytes = point.value("block_bytes", uint64_t{0});
    if (Distance(bytes, block_bytes) < Distance(estimate.block_bytes_, block_bytes)) {
      estimate.block_bytes_ = bytes;
    }
  }
  for (const json& point : ladder.at("points")) {
    for (const char* tier : kTiers) {
      if (!IsFetch(point, tier) ||
          point.value("block_bytes", uint64_t{0}) != estimate.block_bytes_) {
        continue;
      }
      const double median = MedianOf(point, "p50_ns");
      Curve& curve = tier == kTiers[0] ? estimate.host_ : estimate.ssd_;
      curve.emplace_back(std::log(point.value("batch", 1.0)), std::log(median));
      if (tier == kTiers[0] || !estimate.spread_.empty()) continue;
      estimate.spread_.emplace_back(0.5, 1);
      for (const auto& [share, metric] :
           {std::pair(0.9, "p90_ns"), {0.99, "p99_ns"}, {0.999, "p999_ns"}}) {
        const double ns = MedianOf(point, metric);
        if (ns > 0) estimate.spread_.emplace_back(share, ns / median);
      }
    }
  }
  if (estimate.host_.empty() || estimate.ssd_.empty()) {
    return Fail(Errc::kInvalidArgument,
                "the ladder has no fetches by one reader from host memory and the SSD; measure one "
                "without --readers");
  }
  std::ranges::sort(estimate.host_);
  std::ranges::sort(estimate.ssd_);
  return estimate;
}

double StepEstimate::FetchNs(uint32_t hits, uint32_t misses, double unit) const {
  double ns = 0;
  if (hits > 0) ns += std::exp(At(host_, std::log(static_cast<double>(hits))));
  if (misses == 0) return ns;
  // Below the median: as if all were the median, so that an estimate is rather too high.
  const double last = spread_.back().first;
  const double spread = unit <= 0.5 ? 1 : At(spread_, std::min(unit, last));
  return ns + spread * std::exp(At(ssd_, std::log(static_cast<double>(misses))));
}

}  // namespace cairn
