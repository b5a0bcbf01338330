// Numbers to codes of 8 bits and back: steps from a centre, of one size for each dimension, times a
// scale of each vector's own. Vectorised with run-time dispatch; pure functions on pointers.
#pragma once

#include <cstdint>

namespace cairn {

/// What a dimension's codes count in: number d is centre[d] + scale·step[d]·(code − 128).
struct CodeSteps {
  const float* centre;
  const float* step;
  const float* inverse;  ///< 1 / step
  int64_t dim;
};

/// The least scale, before rounding, with which no number of `vector` [dim] is beyond 127 steps; at
/// most 3e38.
float LeastScale(const float* vector, const CodeSteps& steps);

/// The nearest codes, within 128 ± 127; all 128 for a scale of less than 1e-36.
void EncodeNumbers(const float* vector, float scale, const CodeSteps& steps, uint8_t* codes);

/// The numbers of codes [dim].
void DecodeNumbers(const uint8_t* codes, float scale, const CodeSteps& steps, float* vector);

/// The first i < count with the least squares[i] − 2·products[i].
int64_t NearestOf(const float* squares, const float* products, int64_t count);

}  // namespace cairn
