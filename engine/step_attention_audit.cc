// What StepAttention does for certificates and audits: it weighs what rows have read in f32, and
// the blocks that a row left unread.
#include <algorithm>
#include <limits>

#include "base/parallel.h"
#include "engine/log_sum.h"
#include "engine/step_attention.h"

namespace cairn {
namespace {

constexpr size_t kBlocksAtOnce = 256;

}  // namespace

void StepAttention::BeginWeighing(const Call& call) {
  const bool rounds = AttendHasBf16() || store_.device() != nullptr;
  weighs_ = weigh_from_ < call.rows && rounds && shape_.block.dtype != DType::kF32 &&
            call.rows * shape_.group() > kExactQueries;
  if (!weighs_) return;
  weighed_lse_.assign(lse_.size(), -std::numeric_limits<float>::infinity());
  part_o_.resize(fetched_o_.size());
  part_lse_.resize(lse_.size());
}

void StepAttention::WeighRows(const Call& call, int32_t head, int32_t first_row, int32_t rows,
                              std::span<const BlockRef> refs, const BlockShape& shape) {
  const int32_t begin = std::max(first_row, weigh_from_), end = first_row + rows;
  if (!weighs_ || begin >= end) return;
  AttendRows(call, head, begin, end - begin, refs, shape, part_o_.data(), part_lse_.data(), false);
  const int64_t of_head = static_cast<int64_t>(head) * call.rows;
  for (int64_t i = (of_head + begin) * shape_.group(); i < (of_head + end) * shape_.group(); ++i) {
    LogSum sum;
    sum.Add(weighed_lse_[i]);
    sum.Add(part_lse_[i]);
    weighed_lse_[i] = static_cast<float>(sum.value());
  }
}

Status StepAttention::WeighOnHost(const Call& call, int32_t first_row, int32_t rows) {
  CAIRN_TRY(const Pins pins, store_.FetchToHost(ids_));
  for (size_t i = 0; i < refs_.size(); ++i) refs_[i].payload = pins.payloads()[i];
  const int64_t per_list = BlocksPerList(call);
  const bool shared = call.choice.groups == 1;
  ParallelFor(shape_.kv_heads, [&](int64_t head) {
    for (int32_t row = 0; row < (shared ? 1 : rows); ++row) {
      WeighRows(
          call, static_cast<int32_t>(head), first_row + row, shared ? rows : 1,
          {refs_.data() + (row * shape_.kv_heads + head) * per_list, static_cast<size_t>(per_list)},
          shape_.block);
    }
  });
  return Ok();
}

void StepAttention::EndWeighing(const Call& call) {
  for (int64_t head = 0; head < shape_.kv_heads; ++head) {
    const int64_t at = head * call.rows * shape_.group();
    std::copy_n(lse_.begin() + at, weigh_from_ * shape_.group(), weighed_lse_.begin() + at);
  }
}

Status StepAttention::WeighUnread(const StepPlan& plan, int32_t layer, const float* q, int32_t rows,
                                  const Choice& choice, const BlockMap& blocks, int32_t row,
                                  double* lse) {
  part_o_.resize(static_cast<size_t>(rows) * shape_.query_heads * shape_.block.head_dim);
  part_lse_.resize(static_cast<size_t>(rows) * shape_.query_heads);
  const Call call{plan, layer, q, rows, choice, blocks, nullptr};
  const int32_t group = shape_.group();
  std::vector<LogSum> sums(static_cast<size_t>(shape_.query_heads));
  for (int32_t head = 0; head < shape_.kv_heads; ++head) {
    const auto chosen = choice.Of(head, choice.groups == 1 ? 0 : row);
    std::vector<PlacedBlock> unread;
    const auto list = [&](int64_t begin, int64_t end, bool near) {
      for (int64_t block = begin; block < end; ++block) {
        if (std::ranges::binary_search(chosen, block)) continue;
        unread.push_back({block, near ? plan.NearSlot(block) : plan.far_slot});
      }
    };
    list(plan.far_begin, plan.far_end, false);
    list(plan.near_begin, plan.near_end, true);
    for (size_t first = 0; first < unread.size(); first += kBlocksAtOnce) {
      const size_t count = std::min(kBlocksAtOnce, unread.size() - first);
      std::vector<BlockId> ids;
      for (size_t i = 0; i < count; ++i)
        ids.push_back(blocks.Id(unread[first + i].block, layer, head));
      CAIRN_TRY(const Pins pins, store_.FetchToHost(ids));
      for (size_t i = 0; i < count; ++i) {
        const BlockRef ref{pins.payloads()[i], unread[first + i].slot * shape_.block.block_rows,
                           shape_.block.block_rows};
        AttendRows(call, head, row, 1, {&ref, 1}, shape_.block, part_o_.data(), part_lse_.data());
        for (int32_t g = 0; g < group; ++g) {
          sums[head * group + g].Add(
              part_lse_[(static_cast<int64_t>(head) * rows + row) * group + g]);
        }
      }
    }
  }
  std::ranges::transform(sums, lse, &LogSum::value);
  return Ok();
}

}  // namespace cairn
