// LogSum: log Σ exp of scores met one by one.
#pragma once

#include <cmath>
#include <limits>

namespace cairn {

class LogSum {
 public:
  void Add(double score) {
    if (score == kNothing) return;
    if (score > highest_) {
      sum_ = sum_ * std::exp(highest_ - score) + 1;
      highest_ = score;
    } else {
      sum_ += std::exp(score - highest_);
    }
  }
  /// −inf of no scores.
  double value() const { return sum_ > 0 ? highest_ + std::log(sum_) : kNothing; }

 private:
  static constexpr double kNothing = -std::numeric_limits<double>::infinity();
  double highest_ = kNothing;
  double sum_ = 0;
};

}  // namespace cairn
