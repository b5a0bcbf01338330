// Buffers that are used again and grow when more is wanted.
#pragma once

#include <algorithm>
#include <cstddef>

#include "base/device.h"

namespace cairn {

inline Result<DeviceBuffer> Allocated(Device& device, size_t bytes, const DeviceBuffer*) {
  return device.Allocate(bytes);
}
inline Result<PinnedBuffer> Allocated(Device& device, size_t bytes, const PinnedBuffer*) {
  return device.AllocatePinned(bytes);
}

/// Makes `buffer`, which nothing uses now, at least so long; what was in it is lost if it grows. By
/// a half at least, so that it does not grow often.
template <class Buffer>
Status Grow(Buffer* buffer, size_t bytes, Device& device) {
  if (buffer->bytes() >= bytes) return Ok();
  bytes = std::max(bytes, buffer->bytes() / 2 * 3);
  *buffer = Buffer();  // there may not be room for both
  CAIRN_TRY(*buffer, Allocated(device, bytes, buffer));
  return Ok();
}

}  // namespace cairn
