#include "kernels/softmax_state.h"

#include <cmath>
#include <limits>

namespace cairn {

void MergeParts(int64_t rows, int32_t dim, float* o, int64_t o_stride, float* lse, const float* o2,
                int64_t o2_stride, const float* lse2) {
  constexpr float kEmpty = -std::numeric_limits<float>::infinity();
  for (int64_t row = 0; row < rows; ++row) {
    if (lse2[row] == kEmpty) continue;
    float* target = o + row * o_stride;
    const float* source = o2 + row * o2_stride;
    if (lse[row] == kEmpty) {
      for (int32_t c = 0; c < dim; ++c) target[c] = source[c];
      lse[row] = lse2[row];
      continue;
    }
    const float top = std::fmax(lse[row], lse2[row]);
    const float first = std::exp(lse[row] - top);
    const float second = std::exp(lse2[row] - top);
    const float sum = first + second;
    const float weight = first / sum;
    const float weight2 = second / sum;
    for (int32_t c = 0; c < dim; ++c) target[c] = weight * target[c] + weight2 * source[c];
    lse[row] = top + std::log(sum);
  }
}

}  // namespace cairn
