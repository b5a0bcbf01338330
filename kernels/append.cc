#include "kernels/append.h"

#include "base/check.h"
#include "kernels/block_rows.h"

namespace cairn {

void AppendRows(const BlockShape& shape, const RopeTable& rope, int32_t first_row, int32_t rows,
                const float* k, const float* v, int64_t stride, std::byte* payload) {
  const int32_t dim = shape.head_dim;
  CAIRN_CHECK(dim <= kMaxHeadDim && rope.head_dim() == dim && shape.dtype != DType::kQ8);
  CAIRN_CHECK(first_row >= 0 && rows >= 0 && first_row + rows <= shape.block_rows);
  CAIRN_CHECK(rope.positions() >= first_row + rows);
  float rotated[kMaxHeadDim];
  for (int32_t i = 0; i < rows; ++i) {
    const int32_t row = first_row + i;
    rope.Rotate(row, k + i * stride, rotated);
    const auto count = static_cast<size_t>(dim);
    ConvertFromFloat(shape.dtype, rotated, payload + shape.key_offset(row), count);
    ConvertFromFloat(shape.dtype, v + i * stride, payload + shape.value_offset(row), count);
  }
}

void LandmarkKey(const BlockShape& shape, const std::byte* payload, float* key) {
  ReadKey(shape, payload, shape.block_rows - 1, key);
}

void SubBlockMeans(const BlockShape& shape, const std::byte* payload, int32_t count, float* means) {
  const int32_t dim = shape.head_dim;
  CAIRN_CHECK(dim <= kMaxHeadDim && count >= 1 && count <= shape.block_rows);
  const int32_t run = shape.block_rows / count;
  float key[kMaxHeadDim];
  for (int32_t i = 0; i < count; ++i) {
    const int32_t begin = i * run;
    const int32_t end = i + 1 == count ? shape.block_rows : begin + run;
    float* mean = means + static_cast<int64_t>(i) * dim;
    for (int32_t c = 0; c < dim; ++c) mean[c] = 0.0f;
    for (int32_t row = begin; row < end; ++row) {
      ReadKey(shape, payload, row, key);
      for (int32_t c = 0; c < dim; ++c) mean[c] += key[c];
    }
    const float inverse = 1.0f / static_cast<float>(end - begin);
    for (int32_t c = 0; c < dim; ++c) mean[c] *= inverse;
  }
}

}  // namespace cairn
