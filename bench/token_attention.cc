#include "bench/token_attention.h"

#include <algorithm>
#include <cmath>

namespace cairn {
namespace {

constexpr int32_t kMostBlocksOfAPart = 4;

}  // namespace

std::vector<int32_t> PartsOfList(int32_t blocks) {
  std::vector<int32_t> parts;
  for (int32_t each = kMostBlocksOfAPart; each >= 1; --each) {
    parts.push_back((blocks + each - 1) / each);
  }
  parts.erase(std::unique(parts.begin(), parts.end()), parts.end());
  return parts;
}

std::vector<cuda::PlacedBlock> PlaceLists(const StrewnBlocks& strewn, const BlockShape& shape,
                                          const AttendLists& lists) {
  std::vector<cuda::PlacedBlock> placed;
  for (int64_t i = 0; i < lists.calls * lists.call_blocks(); ++i) {
    const int64_t slot = strewn.order[static_cast<size_t>(i) % strewn.order.size()];
    const auto rank = static_cast<int32_t>(i % lists.blocks);
    placed.push_back({strewn.pool + static_cast<size_t>(slot) * shape.payload_bytes(),
                      std::min(rank * shape.block_rows, kTokenPosition - shape.block_rows),
                      shape.block_rows});
  }
  return placed;
}

Status TokenAttention::Open(const StrewnBlocks& strewn, int32_t most_parts) {
  Device& device = rig_.device();
  const BlockShape& block = shape_.block;
  const auto query_heads = static_cast<size_t>(lists_.heads) * static_cast<size_t>(shape_.group);
  const size_t floats = query_heads * static_cast<size_t>(block.head_dim);
  CAIRN_TRY(queries_, rig_.Put(NormalNumbers(floats, 2)));
  CAIRN_TRY(rope_, rig_.Put(TokenRope(block.head_dim)));
  CAIRN_TRY(positions_, rig_.Put(std::vector<int32_t>{kTokenPosition}));
  CAIRN_TRY(placed_, rig_.Put(PlaceLists(strewn, block, lists_)));
  CAIRN_TRY(counts_,
            rig_.Put(std::vector<int32_t>(static_cast<size_t>(lists_.heads), lists_.blocks)));
  const int64_t counts = cuda::DecodeCounts(1, lists_.heads, shape_.group);
  CAIRN_TRY(arrived_, rig_.Put(std::vector<int32_t>(static_cast<size_t>(counts), 0)));
  cuda::AttendParams params;
  params.shape = block;
  params.heads = lists_.heads;
  params.rows = 1;
  params.group = shape_.group;
  const size_t scratch = cuda::DecodeScratchFloats(params, most_parts);
  CAIRN_TRY(scratch_, device.Allocate(scratch * sizeof(float)));
  CAIRN_TRY(o_, device.Allocate(floats * sizeof(float)));
  CAIRN_TRY(lse_, device.Allocate(query_heads * sizeof(float)));
  return Ok();
}

Status TokenAttention::Put(int32_t call, int32_t parts) {
  cuda::AttendParams params;
  params.shape = shape_.block;
  params.mode = SoftmaxMode::kGrouped;
  params.scale = 1.0f / std::sqrt(static_cast<float>(shape_.block.head_dim));
  params.rope = {As<float>(rope_), kTokenPosition + 1, RopeStyle::kHalfSplit};
  params.heads = lists_.heads;
  params.rows = 1;
  params.group = shape_.group;
  params.q = As<float>(queries_);
  params.q_row_stride = params.o_row_stride =
      int64_t{lists_.heads} * shape_.group * shape_.block.head_dim;
  params.q_positions = As<int32_t>(positions_);
  params.blocks = As<cuda::PlacedBlock>(placed_) + call * lists_.call_blocks();
  params.block_counts = As<int32_t>(counts_);
  params.block_stride = lists_.blocks;
  params.o = As<float>(o_);
  params.lse = As<float>(lse_);
  const cuda::DecodeShare share = {
      .splits = parts, .scratch = As<float>(scratch_), .arrived = As<int32_t>(arrived_)};
  return cuda::AttendDecode(params, share, rig_.stream().get());
}

}  // namespace cairn
