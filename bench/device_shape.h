// DeviceShape: the numbers of a model and its past that measurements on a device are told.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "kernels/block_shape.h"

namespace cairn {

struct DeviceShape {
  int32_t layers = 32;  ///< L
  int32_t kv_heads = 8;
  int32_t group = 4;  ///< query heads of a KV head
  BlockShape block = {64, 128, DType::kF16};
  int64_t tokens = 1'000'000;  ///< of the past
  int32_t retrieve = 32;       ///< blocks chosen per KV head

  /// kInvalidArgument naming the flag of what cannot be, kUnsupported what kernels do not take.
  Status Validate() const;
};

/// Of a decoded token; what it chose stands before it.
inline constexpr int32_t kTokenPosition = 4000;
/// A RopeTable's rows from position 0 to that, [positions, D].
std::vector<float> TokenRope(int32_t head_dim);
/// With mean 0 and deviation 1, the same for the same seed.
std::vector<float> NormalNumbers(size_t count, uint64_t seed);

/// kInvalidArgument if `value` of the flag `what` is below `least`.
Status AtLeast(const char* what, int64_t value, int64_t least);
Status AtMost(const char* what, int64_t value, int64_t most);

}  // namespace cairn
