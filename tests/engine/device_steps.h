// Steps on a device over a Problem, as a model makes them that runs there.
#pragma once

#include <memory>
#include <mutex>

#include "base/device.h"
#include "tests/engine/session_problem.h"

namespace cairn::test {

/// Gives a session's steps on device 0 what a problem has, by copies.
class DeviceSteps {
 public:
  explicit DeviceSteps(const Problem& problem)
      : problem_(problem), device_(Device::Open(0).value()) {}

  /// As RunStep and RunSteps, but without choices. Steps end under `ending`, if it is given.
  Status RunStep(Session& session, int32_t rows, Trace* trace, std::mutex* ending = nullptr);
  Status RunSteps(Session& session, int64_t end, int32_t chunk, Trace* trace);

  /// Layers of all steps that had to be made again.
  int64_t layers_again() const { return layers_again_; }
  /// Steps of which layers were not waited for.
  int64_t launched_ahead() const { return launched_ahead_; }

 private:
  int64_t stride() const { return problem_.q_width() + 2 * problem_.kv_width() + 3; }
  Status Stage(const Session& session, int32_t rows);
  Status Layers(DeviceStep& step, int32_t rows);

  const Problem& problem_;
  std::unique_ptr<Device> device_;
  PinnedBuffer there_, back_;  // [L, rows, stride] and [L, rows, Hq, D]
  DeviceBuffer there_on_device_, back_on_device_;
  int64_t layers_again_ = 0, launched_ahead_ = 0;
};

}  // namespace cairn::test
