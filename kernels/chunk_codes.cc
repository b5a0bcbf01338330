#include "kernels/chunk_codes.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace cairn {
namespace {

constexpr float kLargestCode = 127.0f;

// Column `column` of the chunk's vectors.
void ReadColumn(const CodeParams& params, int64_t partition, int32_t column, float* numbers) {
  const auto bytes = static_cast<int64_t>(DTypeBytes(params.dtype));
  const auto* plain = static_cast<const std::byte*>(params.plain);
  const float* scales = params.scales + partition * params.scale_stride;
  const int8_t* codes = params.codes + partition * params.code_stride;
  const int32_t coded_dim = CodedDim(params.dim);
  for (int64_t v = 0; v < params.vectors; ++v) {
    if (v < params.kept) {
      const auto code = static_cast<float>(codes[v * coded_dim + column]);
      numbers[v] = scales[column] + code * scales[coded_dim + column];
    } else {
      const int64_t at = partition * params.plain_stride + v * params.padded_dim + column;
      ConvertToFloat(params.dtype, plain + at * bytes, numbers + v, 1);
    }
  }
}

}  // namespace

void CodeChunk(const CodeParams& params) {
  std::vector<float> numbers(static_cast<size_t>(params.vectors));
  const int32_t coded_dim = CodedDim(params.dim);
  for (int64_t p = 0; p < params.partitions; ++p) {
    float* scales = params.scales + p * params.scale_stride;
    int8_t* codes = params.codes + p * params.code_stride;
    for (int32_t d = 0; d < coded_dim; ++d) {
      std::fill(numbers.begin(), numbers.end(), 0.0f);
      if (d < params.dim) ReadColumn(params, p, d, numbers.data());
      const auto [least, most] = std::minmax_element(numbers.begin(), numbers.end());
      // Halves, because the range of two finite numbers may be infinite.
      const float centre = *least == *most ? *least : 0.5f * *least + 0.5f * *most;
      const float step = (0.5f * *most - 0.5f * *least) / kLargestCode;
      scales[d] = centre;
      scales[coded_dim + d] = step;
      for (size_t v = 0; v < numbers.size(); ++v) {
        const float steps = step > 0.0f ? (numbers[v] - centre) / step : 0.0f;
        codes[static_cast<int64_t>(v) * coded_dim + d] =
            static_cast<int8_t>(std::nearbyint(std::clamp(steps, -kLargestCode, kLargestCode)));
      }
    }
  }
}

void ScoreCodes(const ScoreCodesParams& params) {
  const int32_t coded_dim = CodedDim(params.dim);
  for (int64_t p = 0; p < params.partitions; ++p) {
    for (int64_t v = 0; v < params.vectors; ++v) {
      const int64_t vector = params.first + v;
      const int8_t* codes = params.codes + p * params.code_stride + vector * coded_dim;
      const float* centre =
          params.scales + p * params.scale_stride + vector / params.chunk_vectors * 2 * coded_dim;
      const float* step = centre + coded_dim;
      for (int64_t row = 0; row < params.rows; ++row) {
        const float* query = params.queries + (p * params.rows + row) * params.dim;
        float largest = 0.0f, offset = 0.0f;
        for (int32_t d = 0; d < params.dim; ++d) {
          largest = std::fmax(largest, std::fabs(query[d] * step[d]));
          offset += query[d] * centre[d];
        }
        const float inverse = largest > kNoQuery ? kQueryUnits / largest : 0.0f;
        const float unit = largest > kNoQuery ? largest / kQueryUnits : 0.0f;
        int64_t sum = 0;
        for (int32_t d = 0; d < params.dim; ++d) {
          sum += static_cast<int64_t>(std::nearbyint(query[d] * step[d] * inverse)) * codes[d];
        }
        params.scores[(p * params.rows + row) * params.row_stride() + v] =
            offset + unit * static_cast<float>(sum);
      }
    }
  }
}

}  // namespace cairn
