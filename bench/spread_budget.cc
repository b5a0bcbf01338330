#include "bench/spread_budget.h"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "base/check.h"

namespace cairn {

void SpreadBudget::Add(const std::vector<float>& shares, const std::vector<float>& masses) {
  CAIRN_CHECK(!shares.empty() && shares.size() == masses.size());
  const int64_t count = std::min(std::ssize(shares), kMost);
  Curve& curve = curves_.emplace_back();
  std::partial_sum(shares.begin(), shares.begin() + count, std::back_inserter(curve.share));
  std::partial_sum(masses.begin(), masses.begin() + count, std::back_inserter(curve.mass));
}

void SpreadBudget::Add(const SpreadBudget& other) {
  curves_.insert(curves_.end(), other.curves_.begin(), other.curves_.end());
}

SpreadBudget::Spread SpreadBudget::With(double target) const {
  Spread spread{.target = target};
  for (const Curve& curve : curves_) {
    const auto found = std::lower_bound(curve.share.begin(), curve.share.end(), target);
    const int64_t last = std::min(found - curve.share.begin(), std::ssize(curve.share) - 1);
    spread.blocks += static_cast<double>(last + 1);
    spread.mass += curve.mass[static_cast<size_t>(last)];
  }
  const auto count = static_cast<double>(curves_.size());
  return {target, spread.blocks / count, spread.mass / count};
}

SpreadBudget::Spread SpreadBudget::Over(double blocks) const {
  CAIRN_CHECK(!curves_.empty());
  constexpr int kHalvings = 40;
  double low = 0, high = 1.001;  // sums of shares may be a little above 1
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2;
    (With(middle).blocks <= blocks ? low : high) = middle;
  }
  return With(low);
}

}  // namespace cairn
