// StepEstimate: how long fetches would take, from a ladder that was measured: so many blocks found
// in memory, so many read from the SSD.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/error.h"

namespace cairn {

class StepEstimate {
 public:
  /// From the ladder's points with one reader and the size of blocks that is nearest.
  /// kInvalidArgument if it has no such points of host memory and the SSD.
  static Result<StepEstimate> FromLadder(const nlohmann::json& ladder, uint64_t block_bytes);

  /// Nanoseconds of one fetch; `unit` in [0, 1) says how lucky the SSD is: the share of its fetches
  /// that are quicker. Batches between those measured lie on a line of logarithms.
  double FetchNs(uint32_t hits, uint32_t misses, double unit) const;

  uint64_t block_bytes() const { return block_bytes_; }

 private:
  using Curve = std::vector<std::pair<double, double>>;
  /// A curve's value at x: straight between its points, past its ends as the last piece goes on.
  static double At(const Curve& curve, double x);

  uint64_t block_bytes_ = 0;
  Curve host_, ssd_;  // (log blocks, log ns of the median)
  Curve spread_;      // (share of fetches, time over the median's)
};

}  // namespace cairn
