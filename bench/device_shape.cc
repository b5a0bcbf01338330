#include "bench/device_shape.h"

#include <random>

#include "kernels/cuda/attention.h"
#include "kernels/rope.h"

namespace cairn {

std::vector<float> TokenRope(int32_t head_dim) {
  RopeTable rope(RopeStyle::kHalfSplit, RopeTable::InverseFrequencies(5e5, head_dim));
  rope.Reserve(kTokenPosition + 1);
  return {rope.at(0), rope.at(0) + int64_t{rope.positions()} * head_dim};
}

std::vector<float> NormalNumbers(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(random);
  return numbers;
}

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
