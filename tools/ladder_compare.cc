#include "tools/ladder_compare.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

namespace cairn {
namespace {

using nlohmann::json;

struct Metric {
  const char* name;
  bool more_is_worse;
};
constexpr Metric kMetrics[] = {{"p50_ns", true}, {"p99_ns", true}, {"bytes_per_second", false}};

/// Of open loops that are compared: at high load a few percent more rate doubles a queue.
constexpr double kMostRateDifference = 0.02;

struct Bounds {
  double median, low, high;
};

double Together(const json& point) {
  const json together = point.value("timed_together", json());
  return together.is_number() ? together.get<double>() : 1;
}

/// Nothing if the estimate is absent or has no interval.
std::optional<Bounds> BoundsOf(const json& point, const char* metric) {
  const json estimate = point.value(metric, json());
  const auto number = [&](const char* key) -> std::optional<double> {
    if (!estimate.is_object() || !estimate.contains(key) || !estimate[key].is_number()) {
      return std::nullopt;
    }
    return estimate[key].get<double>();
  };
  const auto median = number("median"), low = number("low"), high = number("high");
  if (!median || !low || !high || *median <= 0) return std::nullopt;
  return Bounds{*median, *low, *high};
}

std::map<std::string, const json*> ByName(const json& ladder) {
  std::map<std::string, const json*> points;
  for (const json& point : ladder.at("points")) {
    if (point.is_object()) points[point.at("name").get<std::string>()] = &point;
  }
  return points;
}

/// Time of a loop of the noise's, after over before; nothing if one side has none.
std::optional<double> RatioOf(const char* loop, const json& before, const json& after) {
  const json::json_pointer at(std::string("/noise/") + loop + "/median");
  const auto time = [&](const json& ladder) {
    return ladder.contains(at) && ladder.at(at).is_number() ? ladder.at(at).get<double>() : 0;
  };
  if (time(before) <= 0 || time(after) <= 0) return std::nullopt;
  return time(after) / time(before);
}

void CompareMetric(const std::string& name, const Metric& metric, const json& before,
                   const json& after, LadderComparison& comparison) {
  const auto a = BoundsOf(before, metric.name);
  const auto b = BoundsOf(after, metric.name);
  if (!a || !b) return;
  ++comparison.compared;
  if (a->low <= b->high && b->low <= a->high) return;
  LadderChange change;
  change.point = name;
  change.metric = metric.name;
  change.before = a->median;
  change.after = b->median;
  change.percent = 100 * (b->median / a->median - 1);
  change.worse = (b->median > a->median) == metric.more_is_worse;
  comparison.changes.push_back(std::move(change));
}

/// Time after over before. A bandwidth that is halved took twice the time: both are "100 % worse".
double TimeRatio(const LadderChange& change) {
  return change.metric == "bytes_per_second" ? change.before / change.after
                                             : change.after / change.before;
}

std::vector<LadderSetting> SettingsThatDiffer(const json& before, const json& after) {
  const auto all = [](const json& ladder) {
    const json settings = ladder.value("settings", json());
    return settings.is_object() ? settings : json::object();
  };
  const json mine = all(before), others = all(after);
  std::set<std::string> names;
  for (const json* side : {&mine, &others}) {
    for (const auto& [name, value] : side->items()) names.insert(name);
  }
  std::vector<LadderSetting> differ;
  for (const std::string& name : names) {
    LadderSetting setting{name, mine.value(name, json()), others.value(name, json())};
    if (setting.before != setting.after) differ.push_back(std::move(setting));
  }
  return differ;
}

}  // namespace

size_t LadderComparison::Regressions(double limit_percent) const {
  return static_cast<size_t>(std::ranges::count_if(changes, [&](const LadderChange& change) {
    return change.worse && 100 * (TimeRatio(change) - 1) > limit_percent;
  }));
}

double OpenRate(const json& point) {
  const json rate = point.is_object() ? point.value("rate_per_second", json()) : json();
  return rate.is_number() ? std::max(0.0, rate.get<double>()) : 0;
}

LadderComparison CompareLadders(const json& before, const json& after) {
  LadderComparison comparison;
  const auto points = ByName(before), others = ByName(after);
  for (const auto& [name, point] : points) {
    const auto other = others.find(name);
    if (other == others.end()) {
      comparison.only_before.push_back(name);
      continue;
    }
    const double rate = OpenRate(*point), other_rate = OpenRate(*other->second);
    if (std::abs(other_rate - rate) > kMostRateDifference * rate) {
      comparison.other_rate.push_back(name);
      continue;
    }
    const double together = Together(*point), others_together = Together(*other->second);
    const bool other_means = (together > 1) != (others_together > 1);
    if (other_means) comparison.other_together.push_back(name);
    for (const Metric& metric : kMetrics) {
      if (rate > 0 && !metric.more_is_worse) continue;
      // A median of means is no median, and how far the tails of means reach depends on how many.
      const bool tail = metric.name == std::string_view("p99_ns");
      if (metric.more_is_worse && (other_means || (tail && together != others_together))) continue;
      CompareMetric(name, metric, *point, *other->second, comparison);
    }
  }
  for (const auto& [name, point] : others) {
    if (!points.contains(name)) comparison.only_after.push_back(name);
  }
  std::ranges::stable_sort(comparison.changes, [](const LadderChange& a, const LadderChange& b) {
    if (a.worse != b.worse) return a.worse;
    return std::abs(std::log(TimeRatio(a))) > std::abs(std::log(TimeRatio(b)));
  });
  comparison.speed_ratio = RatioOf("calibration_ns", before, after);
  comparison.memory_ratio = RatioOf("memory_ns", before, after);
  comparison.other_settings = SettingsThatDiffer(before, after);
  comparison.other_machine = before.value("machine", json()) != after.value("machine", json());
  return comparison;
}

}  // namespace cairn
