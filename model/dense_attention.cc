#include "model/dense_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/append.h"

namespace cairn {
namespace {

void AttendNow(const AttendParams& params) {
  std::vector<float> scratch(AttendScratchFloats(params) + 16);
  const auto address = (reinterpret_cast<uintptr_t>(scratch.data()) + 63) / 64 * 64;
  Attend(params, reinterpret_cast<float*>(address));
}

}  // namespace

DenseAttention::DenseAttention(const SessionShape& shape)
    : shape_(shape),
      rope_(shape_.rope_style, shape_.inverse_frequencies),
      blocks_(static_cast<size_t>(shape_.partitions())) {
  shape_.block = shape_.block.open();
}

Status DenseAttention::BeginStep(int32_t rows) {
  CAIRN_CHECK(rows > 0 && step_rows_ == 0);
  step_rows_ = rows;
  const int64_t need = rows_ + rows + shape_.block.block_rows;
  if (need > rope_.positions()) rope_.Reserve(static_cast<int32_t>(need + need / 2));
  const auto blocks =
      static_cast<size_t>((rows_ + rows + shape_.block.block_rows - 1) / shape_.block.block_rows);
  for (auto& partition : blocks_) {
    while (partition.size() < blocks) partition.emplace_back(shape_.block.payload_bytes());
  }
  return Ok();
}

Status DenseAttention::Attend(int32_t layer, const float* q, const float* k, const float* v,
                              float* o) {
  const int32_t b = shape_.block.block_rows, dim = shape_.block.head_dim;
  const int32_t heads = shape_.kv_heads, group = shape_.group();
  const int64_t total = rows_ + step_rows_;
  std::vector<int32_t> positions(static_cast<size_t>(step_rows_));
  std::iota(positions.begin(), positions.end(), static_cast<int32_t>(rows_));
  std::vector<float> lse(static_cast<size_t>(step_rows_) * shape_.query_heads);
  std::vector<std::vector<BlockRef>> refs(static_cast<size_t>(heads));
  for (int32_t head = 0; head < heads; ++head) {
    auto& partition = blocks_[static_cast<size_t>(layer) * heads + head];
    for (int32_t i = 0; i < step_rows_; ++i) {
      const int64_t row = rows_ + i;
      const int64_t at = (static_cast<int64_t>(i) * heads + head) * dim;
      AppendRows(shape_.block, rope_, static_cast<int32_t>(row % b), 1, k + at, v + at, dim,
                 partition[row / b].data());
    }
    for (int64_t i = 0; i * b < total; ++i) {
      refs[head].push_back({partition[i].data(), static_cast<int32_t>(i * b),
                            static_cast<int32_t>(std::min<int64_t>(b, total - i * b))});
    }
  }
  constexpr int32_t kTile = 64;
  const int32_t tiles = (step_rows_ + kTile - 1) / kTile;
  const int64_t stride = static_cast<int64_t>(shape_.query_heads) * dim;
  ParallelFor(static_cast<int64_t>(tiles) * heads, [&](int64_t task) {
    const auto head = static_cast<int32_t>(task % heads);
    const int32_t first = static_cast<int32_t>(task / heads) * kTile;
    const int64_t offset = first * stride + static_cast<int64_t>(head) * group * dim;
    AttendParams params = Params();
    params.rows = std::min(kTile, step_rows_ - first);
    params.q = q + offset;
    params.q_row_stride = stride;
    params.q_positions = positions.data() + first;
    params.blocks = refs[head];
    params.o = o + offset;
    params.o_row_stride = stride;
    params.lse = lse.data() + (static_cast<int64_t>(head) * step_rows_ + first) * group;
    AttendNow(params);
  });
  for (int32_t row = 0; log_ != nullptr && row < step_rows_; ++row) {
    for (int32_t head = 0; rows_ + row >= log_->from_row && head < heads; ++head) {
      LogRow(layer, head, row, q + row * stride + static_cast<int64_t>(head) * group * dim,
             lse.data() + (static_cast<int64_t>(head) * step_rows_ + row) * group, refs[head]);
    }
  }
  return Ok();
}

AttendParams DenseAttention::Params() const {
  AttendParams params;
  params.shape = shape_.block;
  params.mode =
      shape_.mode == AttentionMode::kLandmark ? SoftmaxMode::kGrouped : SoftmaxMode::kPlain;
  params.scale =
      shape_.scale > 0 ? shape_.scale : 1.0f / std::sqrt(static_cast<float>(shape_.block.head_dim));
  params.rope = &rope_;
  params.group = shape_.group();
  return params;
}

void DenseAttention::LogRow(int32_t layer, int32_t head, int32_t row, const float* q,
                            const float* lse, std::span<const BlockRef> refs) {
  const int32_t group = shape_.group();
  const auto position = static_cast<int32_t>(rows_ + row);
  std::vector<float> o(static_cast<size_t>(group) * shape_.block.head_dim), part(group);
  AttendParams params = Params();
  params.rows = 1;
  params.q = q;
  params.q_positions = &position;
  params.o = o.data();
  params.lse = part.data();
  HeadLog made{.row = position,
               .layer = layer,
               .head = head,
               .local_share = 1,
               .first = log_->blocks.size(),
               .count = static_cast<size_t>(position / shape_.block.block_rows)};
  for (size_t i = 0; i < made.count; ++i) {
    params.blocks = refs.subspan(i, 1);
    AttendNow(params);
    ReadBlock read{.block = static_cast<int64_t>(i),
                   .log_weight = std::numeric_limits<float>::quiet_NaN()};
    for (int32_t g = 0; g < group; ++g) {
      const float share = std::exp(part[g] - lse[g]);
      read.share += share / static_cast<float>(group);
      read.top_share = std::max(read.top_share, share);
    }
    made.local_share -= read.share;
    log_->blocks.push_back(read);
  }
  made.local_share = std::max(0.0f, made.local_share);
  log_->heads.push_back(made);
}

Status DenseAttention::EndStep() {
  rows_ += step_rows_;
  step_rows_ = 0;
  return Ok();
}

}  // namespace cairn
