// What changed from one ladder to another, beyond the noise of both.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace cairn {

/// One figure of one point whose intervals do not meet.
struct LadderChange {
  std::string point, metric;
  double before = 0, after = 0;  ///< medians
  double percent = 0;            ///< of `before`; positive: more
  bool worse = false;            ///< more time, or fewer bytes a second
};

/// A setting that the two ladders were not made with alike; null where a ladder does not say.
struct LadderSetting {
  std::string name;
  nlohmann::json before, after;
};

struct LadderComparison {
  size_t compared = 0;                  ///< figures that have intervals on both sides
  std::vector<LadderChange> changes{};  ///< the worst first: by times as long as before
  std::vector<std::string> only_before{}, only_after{};
  std::vector<std::string> other_rate{};  ///< open loops at rates more than 2 % apart: not compared
  /// Points timed one by one in one ladder and together in the other: times are not compared.
  std::vector<std::string> other_together{};
  std::optional<double> speed_ratio{};   ///< calibration loop: time after over time before
  std::optional<double> memory_ratio{};  ///< reading memory: the same; older ladders have none
  bool other_machine = false;
  std::vector<LadderSetting> other_settings{};  ///< by name

  /// Changes for the worse by more than `limit_percent`.
  size_t Regressions(double limit_percent) const;
};

/// Operations a second at which an open loop was run, which is not a result; 0 for other points.
double OpenRate(const nlohmann::json& point);

/// Compares p50, p99 and bandwidth of the points that both have; of open loops p50 and p99, as
/// their bandwidth is their rate. Of operations timed together, in older ladders, p99 is compared
/// where equally many were. Where `compared` is 0 the result says nothing.
LadderComparison CompareLadders(const nlohmann::json& before, const nlohmann::json& after);

}  // namespace cairn
