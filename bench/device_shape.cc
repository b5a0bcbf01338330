#include "bench/device_shape.h"

#include "kernels/cuda/attention.h"

namespace cairn {

Status AtLeast(const char* what, int64_t value, int64_t least) {
  if (value >= least) return Ok();
  return Fail(Errc::kInvalidArgument, "{} {}: use {} or more", what, value, least);
}

Status AtMost(const char* what, int64_t value, int64_t most) {
  if (value <= most) return Ok();
  return Fail(Errc::kInvalidArgument, "{} {}: use {} or less", what, value, most);
}

Status DeviceShape::Validate() const {
  CAIRN_TRY(AtLeast("--layers", layers, 1));
  CAIRN_TRY(AtLeast("--kv-heads", kv_heads, 1));
  CAIRN_TRY(AtLeast("--group", group, 1));
  CAIRN_TRY(AtLeast("--retrieve", retrieve, 1));
  CAIRN_TRY(AtLeast("--block-rows", block.block_rows, 2));
  CAIRN_TRY(cuda::CheckShape(block));
  if (block.head_dim % 8 != 0) {
    return Fail(Errc::kInvalidArgument, "--head-dim {}: use a multiple of 8", block.head_dim);
  }
  return AtLeast("--tokens", tokens, int64_t{retrieve} * block.block_rows);
}

}  // namespace cairn
