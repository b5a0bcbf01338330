#include "engine/certificate.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "engine/log_sum.h"

namespace cairn {
namespace {

constexpr int32_t kRowsAtOnce = 16;
// Added to bounds, in nats: what rounding to f32 may come to in scores and in what was read.
constexpr double kRounding = 1e-3;
constexpr float kNothing = -std::numeric_limits<float>::infinity();

LogSum SumOf(const float* scores, int64_t count) {
  LogSum sum;
  for (int64_t i = 0; i < count; ++i) sum.Add(scores[i]);
  return sum;
}

}  // namespace

float ShareOf(double lse, double read_lse) {
  if (lse == kNothing) return 0;
  return static_cast<float>(1 / (1 + std::exp(read_lse - lse)));
}

void Certifier::Measure(const LayerRead& read, const KeyBounds& bounds, int32_t first) {
  missed_.assign(static_cast<size_t>(read.rows - first) * shape_.query_heads, {});
  buffers_.resize(static_cast<size_t>(shape_.kv_heads));
  ParallelFor(shape_.kv_heads, [&](int64_t head) {
    MeasureHead({read, bounds, first}, static_cast<int32_t>(head), buffers_[head]);
  });
}

void Certifier::RotateNear(const LayerRead& read, int32_t head, float* keys) const {
  const StepPlan& plan = read.plan;
  for (int64_t block = plan.near_begin; block < plan.near_end; ++block) {
    // Queries stand at their distance from the far slot.
    rope_.Rotate((plan.NearSlot(block) - plan.far_slot) * shape_.block.block_rows,
                 near_keys_.at(read.layer * shape_.kv_heads + head, block), keys);
    keys += shape_.block.head_dim;
  }
}

void Certifier::RotateQueries(const LayerRead& read, int32_t first, int32_t end, int32_t head,
                              float* queries) const {
  const int32_t group = shape_.group(), dim = shape_.block.head_dim;
  const float scale = shape_.scale > 0 ? shape_.scale : 1.0f / std::sqrt(static_cast<float>(dim));
  for (int32_t row = first; row < end; ++row) {
    const int32_t distance =
        read.first_position + row - read.plan.far_slot * shape_.block.block_rows;
    for (int32_t g = 0; g < group; ++g) {
      const int64_t source = static_cast<int64_t>(row) * shape_.query_heads + head * group + g;
      rope_.Rotate(distance, read.q + source * dim, queries);
      for (int32_t c = 0; c < dim; ++c) queries[c] *= scale;
      queries += dim;
    }
  }
}

void Certifier::MeasureHead(const Call& call, int32_t head, Buffers& buffers) {
  const StepPlan& plan = call.read.plan;
  const int32_t group = shape_.group(), dim = shape_.block.head_dim;
  const int64_t far = plan.far_end - plan.far_begin, near = plan.near_end - plan.near_begin;
  buffers.near.resize(static_cast<size_t>(near * dim));
  RotateNear(call.read, head, buffers.near.data());
  for (int32_t begin = call.first; begin < call.read.rows; begin += kRowsAtOnce) {
    const int32_t end = std::min(call.read.rows, begin + kRowsAtOnce);
    const int32_t rows = (end - begin) * group;
    buffers.queries.resize(static_cast<size_t>(rows) * dim);
    buffers.estimates.resize(static_cast<size_t>(rows * far));
    buffers.bounds.resize(buffers.estimates.size());
    RotateQueries(call.read, begin, end, head, buffers.queries.data());
    if (far > 0) {
      call.bounds.Weigh(call.read.layer * shape_.kv_heads + head, plan.far_begin, plan.far_end,
                        buffers.queries.data(), rows, buffers.estimates.data(),
                        buffers.bounds.data());
    }
    for (int32_t r = 0; r < rows; ++r) {
      MeasureRow(call, head, r, begin + r / group, r % group, buffers);
    }
  }
}

void Certifier::MeasureRow(const Call& call, int32_t head, int32_t r, int32_t row, int32_t g,
                           Buffers& buffers) {
  const StepPlan& plan = call.read.plan;
  const int32_t group = shape_.group(), dim = shape_.block.head_dim;
  const int64_t far = plan.far_end - plan.far_begin, near = plan.near_end - plan.near_begin;
  const auto chosen = call.read.choice.Of(head, call.read.choice.groups == 1 ? 0 : row);
  for (const int64_t block : chosen) {
    if (block < plan.far_begin || block >= plan.far_end) continue;
    const int64_t place = r * far + block - plan.far_begin;
    buffers.estimates[place] = buffers.bounds[place] = kNothing;
  }
  LogSum estimate = SumOf(buffers.estimates.data() + r * far, far);
  LogSum bound = SumOf(buffers.bounds.data() + r * far, far);
  for (int64_t i = 0; i < near; ++i) {
    if (std::ranges::binary_search(chosen, plan.near_begin + i)) continue;
    double score = 0;
    const float* query = buffers.queries.data() + static_cast<int64_t>(r) * dim;
    for (int32_t c = 0; c < dim; ++c) score += query[c] * buffers.near[i * dim + c];
    estimate.Add(score);
    bound.Add(score);
  }
  const float lse = call.read.lse[(static_cast<int64_t>(head) * call.read.rows + row) * group + g];
  MissedMass& missed =
      missed_[static_cast<size_t>(row - call.first) * shape_.query_heads + head * group + g];
  missed.layer = call.read.layer;
  missed.head = head * group + g;
  missed.chosen = call.read.choice.k;
  missed.estimate = ShareOf(estimate.value(), lse);
  missed.bound = ShareOf(bound.value() + kRounding, lse);
}

}  // namespace cairn
