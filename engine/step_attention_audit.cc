// What StepAttention reads for audits: the blocks that a row left unread.
#include <algorithm>

#include "engine/log_sum.h"
#include "engine/step_attention.h"

namespace cairn {
namespace {

constexpr size_t kBlocksAtOnce = 256;

}  // namespace

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
