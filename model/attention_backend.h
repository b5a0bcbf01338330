// AttentionBackend: what a forward pass asks of attention. Two exist: SessionAttention (an engine
// session: retrieval) and DenseAttention (every past row: the reference for everything else).
#pragma once

#include <cstdint>

#include "base/error.h"
#include "engine/device_step.h"

namespace cairn {

class AttentionBackend {
 public:
  virtual ~AttentionBackend() = default;
  virtual Status BeginStep(int32_t rows) = 0;
  /// As BeginStep, but layers are attended by the result, in device memory. Null if this backend
  /// cannot now, and nothing was begun.
  virtual Result<DeviceStep*> BeginStepOnDevice(int32_t /*rows*/) { return nullptr; }
  /// `q`, `o`: [rows, Hq, D]; `k`, `v`: [rows, Hkv, D]; dense f32, un-rotated.
  virtual Status Attend(int32_t layer, const float* q, const float* k, const float* v,
                        float* o) = 0;
  virtual Status EndStep() = 0;
  /// Undoes an open step on all layers.
  virtual void AbortStep() = 0;
  /// Rows of the steps that ended.
  virtual int64_t rows() const = 0;
};

}  // namespace cairn
