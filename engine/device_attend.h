// DeviceAttend: launches attention over lists of blocks that lie on a device, for rows of a step;
// the rotary table that this takes is there with it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/device.h"
#include "engine/options.h"
#include "kernels/cuda/attention.h"
#include "kernels/rope.h"

namespace cairn {

/// All in device memory. T rows, Hq query heads, Hkv KV heads.
struct DeviceAttendCall {
  BlockShape block;                           ///< of all blocks
  const float* q = nullptr;                   ///< [T, Hq, D], un-rotated
  int64_t q_row_stride = 0;                   ///< elements
  const int32_t* positions = nullptr;         ///< [T]
  int32_t rows = 0;                           ///< T
  int32_t groups = 1;                         ///< T, each row with lists of its own; or 1
  int32_t per_list = 0;                       ///< the most blocks a list has
  const cuda::PlacedBlock* blocks = nullptr;  ///< [groups, Hkv, per_list]
  const int32_t* counts = nullptr;            ///< [groups, Hkv]
  float* o = nullptr;                         ///< [T, Hq, D]
  float* lse = nullptr;                       ///< [T, Hq]
  /// As in cuda::DecodeShare, for calls that Joins says yes to.
  int32_t* arrived = nullptr;
  const float* other_o = nullptr;    ///< [T, Hq, D], of other blocks
  const float* other_lse = nullptr;  ///< [T, Hq]
};

/// What it refers to must outlive it. Thread-safe once it is open.
class DeviceAttend {
 public:
  /// Waits until the table is there. `rope` is complete.
  static Result<DeviceAttend> Open(const SessionShape& shape, const RopeTable& rope, Device& device,
                                   DeviceStream& stream);

  /// Floats of device memory that a call works in.
  size_t ScratchFloats(const DeviceAttendCall& call) const;
  Status Launch(const DeviceAttendCall& call, float* scratch, DeviceStream& stream) const;
  /// Whether a call's parts are joined in its launch, if it has `arrived`; others look at none of
  /// these.
  bool Joins(const DeviceAttendCall& call) const { return !TakesTiles(call); }
  /// Two parts of attention over the same rows, `o` [2, T, Hq, D] and `lse` [2, T, Hq], to that
  /// over both, in the call's o and lse.
  Status Merge(const DeviceAttendCall& call, float* o, float* lse, DeviceStream& stream) const;

  cuda::DeviceRope rope() const;
  float scale() const;

 private:
  DeviceAttend(const SessionShape& shape, Device& device) : shape_(&shape), device_(&device) {}
  cuda::AttendParams ParamsOf(const DeviceAttendCall& call) const;
  bool TakesTiles(const DeviceAttendCall& call) const;
  /// So many blocks of threads share a list that all of the device has work.
  int32_t Splits(const DeviceAttendCall& call) const;

  const SessionShape* shape_;
  Device* device_;
  DeviceBuffer table_;  // of the rotary embedding
  int32_t positions_ = 0;
};

}  // namespace cairn
