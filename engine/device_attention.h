// DeviceAttention: attention over chosen blocks that lie on a device, for a layer of a step:
// queries go there, an output and log-sum-exps come back. One copy each way and one wait of the
// host a call.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/device.h"
#include "engine/device_attend.h"
#include "engine/options.h"
#include "kernels/attention.h"
#include "kernels/rope.h"
#include "storage/tiered_store.h"

namespace cairn {

/// Rows that see lists of blocks, and those. T rows, Hq query heads, Hkv KV heads, groups of rows.
struct DeviceRead {
  const float* q = nullptr;            ///< [T, Hq, D], un-rotated
  const int32_t* positions = nullptr;  ///< [T]
  int32_t rows = 0;                    ///< T
  int32_t groups = 1;                  ///< T, each row with lists of its own; or 1: rows share them
  int32_t per_list = 0;                ///< blocks of a list
  std::span<const BlockRef> lists;     ///< [groups, Hkv, per_list], in device memory
  float* o = nullptr;                  ///< [T, Hq, D]
  float* lse = nullptr;                ///< [T, Hq]
};

/// Keeps buffers between calls; one thread at a time.
class DeviceAttention {
 public:
  /// What it refers to must outlive it; the store has a device. `rope` is complete.
  static Result<std::unique_ptr<DeviceAttention>> Open(const SessionShape& shape,
                                                       const RopeTable& rope, TieredStore& store);

  /// Returns when the results are there. kUnsupported for shapes that kernels do not take.
  Status Attend(const DeviceRead& read);

 private:
  /// Where parts of what goes over, and of what comes back, begin in bytes.
  struct Places {
    size_t positions, blocks, counts, bytes;  // q is first
    size_t lse, back_bytes;                   // o is first
  };

  DeviceAttention(const SessionShape& shape, TieredStore& store, DeviceStream stream,
                  DeviceAttend attend)
      : shape_(shape),
        store_(store),
        device_(*store.device()),
        attend_(std::move(attend)),
        stream_(std::move(stream)) {}
  Places PlacesOf(const DeviceRead& read) const;
  Status MakeRoom(const Places& places, size_t scratch_floats);
  void Stage(const DeviceRead& read, const Places& places);

  const SessionShape& shape_;
  TieredStore& store_;
  Device& device_;
  DeviceAttend attend_;
  PinnedBuffer there_, back_;                      // of the host
  DeviceBuffer there_on_device_, back_on_device_;  // the same
  DeviceBuffer scratch_;
  DeviceStream stream_;  // goes first, and waits for what uses the rest
};

}  // namespace cairn
