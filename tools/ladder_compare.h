// What changed from one ladder to another, beyond the noise of both.
#pragma once

#include <nlohmann/json.hpp>
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

struct LadderComparison {
  size_t compared = 0;                  ///< figures that have intervals on both sides
  std::vector<LadderChange> changes{};  ///< the worst first
  std::vector<std::string> only_before{}, only_after{};
  double speed_ratio = 1;  ///< calibration loop: time after over time before
  bool other_machine = false;

  /// Changes for the worse by more than `limit_percent`.
  size_t Regressions(double limit_percent) const;
};

/// Compares p50, p99 and bandwidth of the points that both have.
LadderComparison CompareLadders(const nlohmann::json& before, const nlohmann::json& after);

}  // namespace cairn
