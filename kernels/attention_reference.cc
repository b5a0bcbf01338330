// The plain-loop specification of Attend: one row, one block and one key after another.
#include <cmath>
#include <limits>

#include "base/check.h"
#include "kernels/attention.h"
#include "kernels/block_rows.h"

namespace cairn {
namespace {

constexpr float kEmpty = -std::numeric_limits<float>::infinity();

// Online softmax over keys met one by one: acc / sum is the normalised read-out so far.
struct SoftmaxState {
  float max = kEmpty;
  float sum = 0.0f;
  float acc[kMaxHeadDim];

  explicit SoftmaxState(int32_t dim) {
    for (int32_t c = 0; c < dim; ++c) acc[c] = 0.0f;
  }

  void Add(float score, const float* value, int32_t dim) {
    if (score == kEmpty) return;
    const float new_max = std::fmax(max, score);
    const float keep = std::exp(max - new_max);
    const float weight = std::exp(score - new_max);
    for (int32_t c = 0; c < dim; ++c) acc[c] = acc[c] * keep + weight * value[c];
    sum = sum * keep + weight;
    max = new_max;
  }

  // The normalised read-out in place of acc; zero if no key was met.
  void Normalise(int32_t dim) {
    const float inverse = sum > 0.0f ? 1.0f / sum : 0.0f;
    for (int32_t c = 0; c < dim; ++c) acc[c] *= inverse;
  }
};

// One query, rotated for the block at hand, and that block's rows as floats.
struct BlockView {
  const BlockShape& shape;
  const std::byte* payload;
  float query[kMaxHeadDim];

  float Score(int32_t row, float scale) const {
    float key[kMaxHeadDim];
    ReadKey(shape, payload, row, key);
    float sum = 0.0f;
    for (int32_t c = 0; c < shape.head_dim; ++c) sum += query[c] * key[c];
    return sum * scale;
  }
  void Value(int32_t row, float* value) const { ReadValue(shape, payload, row, value); }
};

void AddRows(const BlockView& view, int32_t rows, float scale, SoftmaxState* state) {
  float value[kMaxHeadDim];
  for (int32_t row = 0; row < rows; ++row) {
    view.Value(row, value);
    state->Add(view.Score(row, scale), value, view.shape.head_dim);
  }
}

void AddBlock(const AttendParams& params, const BlockRef& block, const float* q, int32_t position,
              SoftmaxState* state) {
  const BlockShape& shape = params.shape;
  const int32_t offset = position - block.position;
  if (block.rows == 0 || offset < 0) return;
  BlockView view{shape, block.payload, {}};
  params.rope->Rotate(offset, q, view.query);
  const bool grouped = params.mode == SoftmaxMode::kGrouped;
  if (grouped && offset >= shape.block_rows) {
    CAIRN_CHECK(block.rows == shape.block_rows);
    const int32_t landmark = shape.block_rows - 1;
    SoftmaxState inner(shape.head_dim);
    AddRows(view, landmark, params.scale, &inner);
    inner.Normalise(shape.head_dim);
    state->Add(view.Score(landmark, params.scale), inner.acc, shape.head_dim);
    return;
  }
  int32_t visible = block.rows < offset + 1 ? block.rows : offset + 1;
  if (grouped && visible == shape.block_rows) --visible;
  AddRows(view, visible, params.scale, state);
}

}  // namespace

void AttendReference(const AttendParams& params) {
  const int32_t dim = params.shape.head_dim;
  CAIRN_CHECK(dim <= kMaxHeadDim && params.rope->head_dim() == dim);
  for (int32_t row = 0; row < params.rows; ++row) {
    for (int32_t g = 0; g < params.group; ++g) {
      const float* q = params.q + row * params.q_row_stride + int64_t{g} * dim;
      SoftmaxState state(dim);
      for (const BlockRef& block : params.blocks) {
        AddBlock(params, block, q, params.q_positions[row], &state);
      }
      state.Normalise(dim);
      float* o = params.o + row * params.o_row_stride + int64_t{g} * dim;
      for (int32_t c = 0; c < dim; ++c) o[c] = state.acc[c];
      params.lse[int64_t{row} * params.group + g] =
          state.sum > 0.0f ? state.max + std::log(state.sum) : kEmpty;
    }
  }
}

}  // namespace cairn
