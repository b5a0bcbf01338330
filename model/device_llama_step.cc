// Steps of a model on a device.
#include <algorithm>
#include <cstring>

#include "engine/device_buffers.h"
#include "kernels/cuda/transformer.h"
#include "model/device_llama.h"
#include "model/llama.h"

namespace cairn {
namespace {

constexpr int64_t kMostLogitRows = 64;  // made at once

}  // namespace

Result<float*> DeviceLlama::Input(int64_t rows) {
  CAIRN_TRY(Reserve(rows, 1));
  return reinterpret_cast<float*>(input_.data());
}

Status DeviceLlama::LaunchLayer(int32_t index, int32_t rows, DeviceStep& step) {
  CAIRN_TRY(BeforeAttention(index, rows, step.stream()));
  CAIRN_TRY(step.Attend(index, {.q = at_.qkv,
                                .k = at_.qkv + q_width(),
                                .v = at_.qkv + (q_width() + qkv_width()) / 2,
                                .stride = qkv_width(),
                                .o = at_.attended}));
  return AfterAttention(index, rows, step.stopped(), step.stream());
}

Status DeviceLlama::Launch(int32_t from, int32_t rows, DeviceStep& step, bool decodes,
                           Timeline* timeline) {
  for (int32_t i = from; i < config_.layers; ++i) {
    const Slice slice(timeline, "layer", i);
    CAIRN_TRY(LaunchLayer(i, rows, step));
  }
  return Finish(rows, decodes, step.stream());
}

Status DeviceLlama::LaunchOrRun(int32_t rows, DeviceStep& step, bool decodes, Timeline* timeline) {
  if (!decodes || rows != 1 || step.launches() == 0) {
    return Launch(0, rows, step, decodes, timeline);
  }
  const Captured now = {step.launches(), rows, memory_.data()};
  if (now != last_) {  // all is made ready by a step that is launched as any other
    graph_.reset();
    last_ = now;
    captures_ = true;
    return Launch(0, rows, step, decodes, timeline);
  }
  if (!graph_.has_value() && !Capture(rows, step, timeline)) {
    return Launch(0, rows, step, decodes, timeline);
  }
  return step.stream().Run(*graph_);
}

// False if it cannot be: then nothing ran, and steps are launched kernel by kernel until they are
// others. These are tried once again: what was short may be there by then, and where it never is,
// it costs what a graph costs that is made anew.
bool DeviceLlama::Capture(int32_t rows, DeviceStep& step, Timeline* timeline) {
  DeviceStream& stream = step.stream();
  if (!captures_ || !stream.BeginCapture()) return captures_ = false;
  const Status launched = Launch(0, rows, step, true, timeline);
  auto graph = stream.EndCapture();
  if (!launched || !graph) return captures_ = false;
  graph_ = std::move(graph).value();
  return true;
}

Status DeviceLlama::LaunchUntilSettled(int32_t rows, DeviceStep& step, bool decodes,
                                       Timeline* timeline) {
  CAIRN_TRY(step.stream().CopyToDevice(reinterpret_cast<std::byte*>(at_.x), input_.data(),
                                       static_cast<size_t>(rows) * config_.hidden * sizeof(float)));
  CAIRN_TRY(LaunchOrRun(rows, step, decodes, timeline));
  while (true) {
    const Slice slice(timeline, "wait");
    CAIRN_TRY(const int32_t from, step.Settle());
    if (from == config_.layers) return Ok();
    CAIRN_TRY(Launch(from, rows, step, decodes, timeline));
  }
}

Result<bool> DeviceLlama::StepOnDevice(int32_t rows, AttentionBackend& attention, bool decodes,
                                       Timeline* timeline) {
  CAIRN_TRY(DeviceStep* const step, attention.BeginStepOnDevice(rows));
  if (step == nullptr) return false;
  CAIRN_TRY(Ended(LaunchUntilSettled(rows, *step, decodes, timeline), attention));
  return true;
}

Status DeviceLlama::Ended(Status done, AttentionBackend& attention) {
  if (done) done = attention.EndStep();
  if (done) return Ok();
  attention.AbortStep();
  (void)stream_.Wait().has_value();
  return done;
}

Status DeviceLlama::LayersByHost(int32_t rows, AttentionBackend& attention, Timeline* timeline) {
  const auto q = static_cast<size_t>(q_width());
  const auto kv = static_cast<size_t>(qkv_width() - q_width()) / 2;
  const auto count = static_cast<size_t>(rows);
  CAIRN_TRY(Grow(&qkv_, count * static_cast<size_t>(qkv_width()) * sizeof(float), *device_));
  CAIRN_TRY(Grow(&attended_, count * q * sizeof(float), *device_));
  q_.resize(count * q);
  k_.resize(count * kv);
  v_.resize(count * kv);
  for (int32_t i = 0; i < config_.layers; ++i) {
    const Slice slice(timeline, "layer", i);
    CAIRN_TRY(BeforeAttention(i, rows, stream_));
    CAIRN_TRY(stream_.CopyToHost(qkv_.data(), reinterpret_cast<std::byte*>(at_.qkv),
                                 count * static_cast<size_t>(qkv_width()) * sizeof(float)));
    CAIRN_TRY(stream_.Wait());
    const auto* source = reinterpret_cast<const float*>(qkv_.data());
    for (size_t row = 0; row < count; ++row, source += qkv_width()) {
      std::copy_n(source, q, q_.data() + row * q);
      std::copy_n(source + q, kv, k_.data() + row * kv);
      std::copy_n(source + q + kv, kv, v_.data() + row * kv);
    }
    CAIRN_TRY(attention.Attend(i, q_.data(), k_.data(), v_.data(),
                               reinterpret_cast<float*>(attended_.data())));
    CAIRN_TRY(device_->Use());
    CAIRN_TRY(stream_.CopyToDevice(reinterpret_cast<std::byte*>(at_.attended), attended_.data(),
                                   count * q * sizeof(float)));
    CAIRN_TRY(AfterAttention(i, rows, nullptr, stream_));
  }
  return Ok();
}

Status DeviceLlama::StepByHost(int32_t rows, AttentionBackend& attention, bool decodes,
                               Timeline* timeline) {
  CAIRN_TRY(attention.BeginStep(rows));
  const auto step = [&]() -> Status {
    CAIRN_TRY(stream_.CopyToDevice(reinterpret_cast<std::byte*>(at_.x), input_.data(),
                                   static_cast<size_t>(rows) * config_.hidden * sizeof(float)));
    CAIRN_TRY(LayersByHost(rows, attention, timeline));
    CAIRN_TRY(Finish(rows, decodes, stream_));
    return stream_.Wait();
  };
  return Ended(step(), attention);
}

Result<const float*> DeviceLlama::Forward(int32_t rows, AttentionBackend& attention, bool decodes,
                                          Timeline* timeline) {
  decodes = decodes && rows <= kMostLogitRows;
  CAIRN_TRY(Reserve(rows, decodes ? rows : 1));
  CAIRN_TRY(device_->Use());
  made_logits_ = hidden_rows_ = 0;
  const auto there = StepOnDevice(rows, attention, decodes, timeline);
  // What the host attends it fetches in smaller parts.
  const bool too_much = !there && there.error().code == Errc::kResource;
  if (!there && !too_much) return there.as_failure();
  if (too_much || !there.value()) {
    CAIRN_TRY(StepByHost(rows, attention, decodes, timeline));
  }
  hidden_rows_ = rows;
  made_logits_ = decodes ? rows : 0;
  return reinterpret_cast<const float*>(hidden_.data());
}

int64_t DeviceLlama::RowOf(const float* hidden) const {
  const auto* const last = reinterpret_cast<const float*>(hidden_.data());
  const bool is = hidden >= last && hidden < last + hidden_rows_ * config_.hidden;
  return is ? (hidden - last) / config_.hidden : -1;
}

std::optional<uint32_t> DeviceLlama::Likeliest(const float* hidden) const {
  const int64_t row = RowOf(hidden);
  if (row < 0 || row >= made_logits_) return std::nullopt;
  return reinterpret_cast<const uint32_t*>(likeliest_.data())[row];
}

Status DeviceLlama::Logits(const float* hidden, int64_t rows, float* logits) {
  const int64_t width = config_.hidden, vocab = config_.vocab, row = RowOf(hidden);
  CAIRN_TRY(device_->Use());
  const auto bytes_of = [](int64_t numbers) {
    return static_cast<size_t>(numbers) * sizeof(float);
  };
  const auto bring = [&](const float* made, int64_t count) {
    return stream_.CopyToHost(logits_.data(), reinterpret_cast<const std::byte*>(made),
                              bytes_of(count * vocab));
  };
  if (row >= 0 && row + rows <= made_logits_) {
    CAIRN_TRY(stream_.WaitAfter(bring(at_.logits + row * vocab, rows)));
    std::memcpy(logits, logits_.data(), bytes_of(rows * vocab));
    return Ok();
  }
  const int64_t at_once = std::min(rows, kMostLogitRows);
  CAIRN_TRY(Reserve(at_once, at_once));
  made_logits_ = 0;
  for (int64_t done = 0; done < rows; done += kMostLogitRows) {
    const int64_t count = std::min(kMostLogitRows, rows - done);
    // Rows of whoever asks, through where inputs are.
    std::memcpy(input_.data(), hidden + done * width, bytes_of(count * width));
    const auto put = [&]() -> Status {
      CAIRN_TRY(stream_.CopyToDevice(reinterpret_cast<std::byte*>(at_.x), input_.data(),
                                     bytes_of(count * width)));
      CAIRN_TRY(cuda::ConvertFloats(at_.x, count * width, type_, at_.hidden_as, stream_.get()));
      CAIRN_TRY(Multiply(output_, at_.hidden_as, count, at_.logits, stream_));
      return bring(at_.logits, count);
    };
    CAIRN_TRY(stream_.WaitAfter(put()));
    std::memcpy(logits + done * vocab, logits_.data(), bytes_of(count * vocab));
  }
  return Ok();
}

}  // namespace cairn
