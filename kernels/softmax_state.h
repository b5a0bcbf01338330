// A part of the context is (o, lse): its normalised output and the log of its softmax's
// denominator. Parts merge associatively; the empty part is (0, −inf).
#pragma once

#include <cstdint>

namespace cairn {

/// For each of `rows` rows of `dim` elements: (o, lse) := merge of (o, lse) and (o2, lse2).
/// Rows of o are `o_stride` elements apart, rows of o2 `o2_stride`.
void MergeParts(int64_t rows, int32_t dim, float* o, int64_t o_stride, float* lse, const float* o2,
                int64_t o2_stride, const float* lse2);

}  // namespace cairn
