// SessionAttention: a forward pass over an engine session.
#pragma once

#include "engine/session.h"
#include "model/attention_backend.h"

namespace cairn {

class SessionAttention : public AttentionBackend {
 public:
  /// `session` must outlive it.
  explicit SessionAttention(Session& session) : session_(session) {}

  Status BeginStep(int32_t rows) override { return session_.BeginStep(rows); }
  Result<DeviceStep*> BeginStepOnDevice(int32_t rows) override {
    if (!session_.StepsOnDevice()) return nullptr;
    return session_.BeginStepOnDevice(rows);
  }
  Status Attend(int32_t layer, const float* q, const float* k, const float* v, float* o) override {
    return session_.Attend(layer, q, k, v, o);
  }
  Status EndStep() override { return session_.EndStep(); }
  void AbortStep() override { session_.AbortStep(); }
  int64_t rows() const override { return session_.rows(); }

 private:
  Session& session_;
};

}  // namespace cairn
