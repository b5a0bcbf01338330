// What StepAttention reads for audits: the blocks that a row left unread.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/step_attention.h"

namespace cairn {
namespace {

constexpr size_t kBlocksAtOnce = 256;

double LogOfSum(double a, double b) {
  const double high = std::max(a, b);
  return high == -std::numeric_limits<double>::infinity()
             ? high
             : high + std::log(std::exp(a - high) + std::exp(b - high));
}

}  // namespace

Status StepAttention::WeighUnread(const StepPlan& plan, int32_t layer, const float* q, int32_t rows,
                                  const Choice& choice, const BlockMap& blocks, int32_t row,
                                  double* lse) {
  part_o_.resize(static_cast<size_t>(rows) * shape_.query_heads * shape_.block.head_dim);
  part_lse_.resize(static_cast<size_t>(rows) * shape_.query_heads);
  const Call call{plan, layer, q, rows, choice, blocks, nullptr};
  const int32_t group = shape_.group();
  std::fill(lse, lse + shape_.query_heads, -std::numeric_limits<double>::infinity());
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
      CAIRN_TRY(const Pins pins, store_.Fetch(ids));
      for (size_t i = 0; i < count; ++i) {
        const BlockRef ref{pins.payloads()[i], unread[first + i].slot * shape_.block.block_rows,
                           shape_.block.block_rows};
        AttendRows(call, head, row, 1, {&ref, 1}, shape_.block, part_o_.data(), part_lse_.data());
        for (int32_t g = 0; g < group; ++g) {
          double& sum = lse[head * group + g];
          sum = LogOfSum(sum, part_lse_[(static_cast<int64_t>(head) * rows + row) * group + g]);
        }
      }
    }
  }
  return Ok();
}

}  // namespace cairn
