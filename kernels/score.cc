#include "kernels/score.h"

#include <vector>

namespace cairn {

void ScoreVectors(const ScoreParams& params) {
  const auto bytes = static_cast<int64_t>(DTypeBytes(params.dtype));
  std::vector<float> vector(static_cast<size_t>(params.padded_dim));
  for (int64_t p = 0; p < params.partitions; ++p) {
    for (int64_t v = 0; v < params.vectors; ++v) {
      const int64_t place = p * params.partition_stride + v * params.padded_dim;
      ConvertToFloat(params.dtype, static_cast<const std::byte*>(params.stored) + place * bytes,
                     vector.data(), vector.size());
      for (int64_t row = 0; row < params.rows; ++row) {
        const float* query = params.queries + (p * params.rows + row) * params.dim;
        float sum = 0.0f;
        for (int32_t d = 0; d < params.dim; ++d) sum += query[d] * vector[static_cast<size_t>(d)];
        params.scores[(p * params.rows + row) * params.row_stride() + v] = sum;
      }
    }
  }
}

}  // namespace cairn
