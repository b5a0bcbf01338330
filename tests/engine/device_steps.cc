#include "tests/engine/device_steps.h"

#include <algorithm>

#include "engine/device_buffers.h"

namespace cairn::test {

Status DeviceSteps::Stage(const Session& session, int32_t rows) {
  const auto layers = static_cast<size_t>(problem_.shape.layers);
  const size_t there = layers * rows * stride() * sizeof(float);
  const size_t back = layers * rows * problem_.q_width() * sizeof(float);
  CAIRN_TRY(Grow(&there_, there, *device_));
  CAIRN_TRY(Grow(&there_on_device_, there, *device_));
  CAIRN_TRY(Grow(&back_, back, *device_));
  CAIRN_TRY(Grow(&back_on_device_, back, *device_));
  auto* to = reinterpret_cast<float*>(there_.data());
  for (int32_t layer = 0; layer < problem_.shape.layers; ++layer) {
    for (int64_t row = session.rows(); row < session.rows() + rows; ++row, to += stride()) {
      float* at = std::copy_n(problem_.Q(layer, row), problem_.q_width(), to);
      at = std::copy_n(problem_.K(layer, row), problem_.kv_width(), at);
      std::copy_n(problem_.V(layer, row), problem_.kv_width(), at);
    }
  }
  return Ok();
}

Status DeviceSteps::Layers(DeviceStep& step, int32_t rows) {
  DeviceStream& stream = step.stream();
  const auto layers = static_cast<size_t>(problem_.shape.layers);
  CAIRN_TRY(stream.CopyToDevice(there_on_device_.data(), there_.data(),
                                layers * rows * stride() * sizeof(float)));
  if (step.launches() != 0) ++launched_ahead_;
  for (int32_t from = 0; from < problem_.shape.layers;) {
    for (int32_t layer = from; layer < problem_.shape.layers; ++layer) {
      const float* q = reinterpret_cast<const float*>(there_on_device_.data()) +
                       int64_t{layer} * rows * stride();
      CAIRN_TRY(step.Attend(layer, {.q = q,
                                    .k = q + problem_.q_width(),
                                    .v = q + problem_.q_width() + problem_.kv_width(),
                                    .stride = stride(),
                                    .o = reinterpret_cast<float*>(back_on_device_.data()) +
                                         int64_t{layer} * rows * problem_.q_width()}));
    }
    CAIRN_TRY(from, step.Settle());
    layers_again_ += problem_.shape.layers - from;
  }
  CAIRN_TRY(stream.CopyToHost(back_.data(), back_on_device_.data(),
                              layers * rows * problem_.q_width() * sizeof(float)));
  return stream.Wait();
}

Status DeviceSteps::RunStep(Session& session, int32_t rows, Trace* trace, std::mutex* ending) {
  const int64_t first = session.rows();
  CAIRN_TRY(Stage(session, rows));
  CAIRN_TRY(DeviceStep* const step, session.BeginStepOnDevice(rows));
  Status done = Layers(*step, rows);
  if (done) {
    const auto lock =
        ending == nullptr ? std::unique_lock<std::mutex>() : std::unique_lock(*ending);
    done = session.EndStep();
  }
  if (!done) {
    session.AbortStep();
    return done;
  }
  std::vector<uint32_t> tokens;
  const auto* o = reinterpret_cast<const float*>(back_.data());
  for (int32_t layer = 0; layer < problem_.shape.layers; ++layer) {
    std::copy_n(o + int64_t{layer} * rows * problem_.q_width(), rows * problem_.q_width(),
                trace->o.data() + (layer * problem_.rows + first) * problem_.q_width());
  }
  for (int64_t row = first; row < first + rows; ++row) tokens.push_back(static_cast<uint32_t>(row));
  session.AddTokens(tokens);
  return Ok();
}

Status DeviceSteps::RunSteps(Session& session, int64_t end, int32_t chunk, Trace* trace) {
  while (session.rows() < end) {
    const auto rows = static_cast<int32_t>(std::min<int64_t>(chunk, end - session.rows()));
    CAIRN_TRY(RunStep(session, rows, trace));
  }
  return Ok();
}

}  // namespace cairn::test
