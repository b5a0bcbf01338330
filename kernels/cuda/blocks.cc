#include "kernels/cuda/blocks.h"

#include "base/check.h"
#include "kernels/cuda/layout.h"

namespace cairn::cuda {
namespace {

constexpr int32_t kMostBlocks = 65535;  // of a call

}  // namespace

Status AppendRows(const BlockShape& shape, const DeviceRope& rope, const LocalBlocks& local,
                  const int32_t* first_row, int32_t rows, const float* k, const float* v,
                  int64_t stride, Stream stream) {
  CAIRN_TRY(CheckShape(shape));
  CAIRN_CHECK(shape.dtype != DType::kQ8 && local.heads >= 1 && local.heads <= kMostBlocks);
  CAIRN_CHECK(rope.positions >= shape.block_rows && rows >= 0);
  if (rows == 0) return Ok();
  const AppendArgs args = {
      LayoutOf(shape), RotationOf(rope),  local.heads,       rows, first_row, k, v, stride,
      local.blocks,    local.head_stride, local.block_stride};
  return Launched("appending rows", LaunchAppend(args, stream));
}

Status LandmarkKeys(const BlockShape& shape, int32_t blocks, const std::byte* const* payloads,
                    float* keys, Stream stream) {
  CAIRN_TRY(CheckShape(shape));
  CAIRN_CHECK(blocks >= 0 && blocks <= kMostBlocks);
  if (blocks == 0) return Ok();
  const MeansArgs args = {LayoutOf(shape), blocks, 0, payloads, keys};
  return Launched("taking landmarks", LaunchMeans(args, stream));
}

Status SubBlockMeans(const BlockShape& shape, int32_t blocks, int32_t count,
                     const std::byte* const* payloads, float* means, Stream stream) {
  CAIRN_TRY(CheckShape(shape));
  CAIRN_CHECK(count >= 1 && count <= shape.block_rows);
  CAIRN_CHECK(blocks >= 0 && blocks <= kMostBlocks);
  if (blocks == 0) return Ok();
  const MeansArgs args = {LayoutOf(shape), blocks, count, payloads, means};
  return Launched("taking means of keys", LaunchMeans(args, stream));
}

Status SealBlocks(const BlockShape& shape, int32_t blocks, const std::byte* const* open,
                  std::byte* const* payloads, Stream stream) {
  CAIRN_TRY(CheckShape(shape));
  CAIRN_CHECK(shape.dtype == DType::kQ8);
  CAIRN_CHECK(blocks >= 0 && blocks <= kMostBlocks);
  if (blocks == 0) return Ok();
  const SealArgs args = {LayoutOf(shape.open()), LayoutOf(shape), blocks, open, payloads};
  return Launched("sealing blocks", LaunchSeal(args, stream));
}

Status GatherBlocks(int32_t blocks, size_t bytes, const std::byte* const* sources,
                    std::byte* const* targets, Stream stream) {
  CAIRN_CHECK(blocks >= 0 && blocks <= kMostBlocks);
  if (blocks == 0 || bytes == 0) return Ok();
  return Launched("copying blocks",
                  LaunchGather(blocks, static_cast<int64_t>(bytes), sources, targets, stream));
}

}  // namespace cairn::cuda
