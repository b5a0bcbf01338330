// DeviceLocalRows: LocalRows in a device's memory, where steps on it append. Blocks lie as there,
// each at a multiple of 16 bytes.
#pragma once

#include <cstdint>

#include "base/device.h"
#include "engine/local_rows.h"
#include "kernels/cuda/blocks.h"

namespace cairn {

/// One thread at a time.
class DeviceLocalRows {
 public:
  /// Room for blocks as `local` has.
  static Result<DeviceLocalRows> Open(const SessionShape& shape, const LocalRows& local,
                                      Device& device);

  /// Blocks of each layer and head.
  int32_t blocks() const { return blocks_; }
  cuda::LocalBlocks layer(int32_t layer) const;
  const std::byte* block(int32_t layer, int32_t head, int32_t index) const {
    return data_.data() + (static_cast<size_t>(layer * heads_ + head) * blocks_ + index) * bytes_;
  }

  /// Puts the first block of all layers and heads there. The last copy has been waited for.
  Status Upload(const LocalRows& local, DeviceStream& stream);
  /// Brings the first `blocks` back, and waits.
  Status Download(int32_t blocks, DeviceStream& stream, LocalRows* local);

 private:
  int32_t layers_ = 0, heads_ = 0, blocks_ = 0;
  size_t payload_bytes_ = 0;
  size_t bytes_ = 0;  // from one block to the next
  DeviceBuffer data_;
  PinnedBuffer staged_;  // [layers, heads, blocks]
};

}  // namespace cairn
