// Two means: parts vectors into two groups, each near a mean of its own. Pure functions.
#pragma once

#include <cstdint>
#include <vector>

namespace cairn {

/// |a − b|² of two vectors of `dim` elements.
double SquaredDistance(const float* a, const float* b, int32_t dim);

struct Parting {
  std::vector<uint8_t> side;    ///< 0 or 1 for each vector; there are some of both
  std::vector<float> means[2];  ///< of the vectors of either side
};

/// Parts `vectors`, [n ≥ 2, dim] finite, from the two that are farthest apart or nearly so. Vectors
/// that cannot be told apart are parted in the middle.
Parting TwoMeans(const std::vector<float>& vectors, int32_t dim);

}  // namespace cairn
