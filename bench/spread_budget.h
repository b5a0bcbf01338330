// SpreadBudget: a budget of blocks spread over many choices, so that those whose mass lies in few
// blocks take few and others take more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cairn {

class SpreadBudget {
 public:
  /// A choice's blocks in the order in which it would take them, up to so many.
  static constexpr int64_t kMost = 64;

  struct Spread {
    double target = 0;  ///< share that a choice wants to have, by its own estimate
    double blocks = 0;  ///< that choices take, the mean
    double mass = 0;    ///< that choices catch, the mean
  };

  /// `shares` are what the search takes the blocks' shares of all mass to be, `masses` what they
  /// are; equally many, at least one.
  void Add(const std::vector<float>& shares, const std::vector<float>& masses);
  void Add(const SpreadBudget& other);

  /// Each choice takes blocks until it has the target's share or kMost blocks. The target is the
  /// one with which they take `blocks` each on average. At least one choice is there.
  Spread Over(double blocks) const;

 private:
  struct Curve {
    std::vector<float> share;  // of the first block, the first two, …
    std::vector<float> mass;
  };
  Spread With(double target) const;

  std::vector<Curve> curves_;
};

}  // namespace cairn
