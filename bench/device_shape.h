// DeviceShape: the numbers of a model and its past that measurements on a device are told.
#pragma once

#include <cstdint>

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

/// kInvalidArgument if `value` of the flag `what` is below `least`.
Status AtLeast(const char* what, int64_t value, int64_t least);
Status AtMost(const char* what, int64_t value, int64_t most);

}  // namespace cairn
